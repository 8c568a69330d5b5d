// Copies a matrix: what moving its bytes costs, and nothing else.

@group(0) @binding(0) var<storage, read> source: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> destination: array<vec4<u32>>;

override WG_SIZE: u32 = 256;
const EACH: u32 = 8;

@compute @workgroup_size(WG_SIZE)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let start = group.x * WG_SIZE * EACH + lane;
    let end = arrayLength(&source);
    for (var k = 0u; k < EACH; k++) {
        let i = start + k * WG_SIZE;
        if i < end {
            destination[i] = source[i];
        }
    }
}
