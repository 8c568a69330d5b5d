// What a mask leaves of targets: those of rows that count, the ignored value for the others; one
// lane a row.

@group(0) @binding(2) var<storage, read_write> masked: array<vec2<u32>>;    // [rows], as i64

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = flat_index(group) * WG_SIZE + lane;
    if (row >= params.rows) {
        return;
    }
    let ignored = vec2<u32>(params.ignore_low, params.ignore_high);
    var target_index = target_at(row);
    // Where no value is ignored, the one that stands for the mask is no class, and stays none.
    if (params.ignore_used == 0u && all(target_index == ignored)) {
        target_index.x += 1u;
    }
    let counts = mask_at(params.mask_offset + row);
    masked[params.output_offset + row] = select(ignored, target_index, counts);
}
