// Puts what rows left in the edges into the u32s that they share; one lane for each place between
// two rows, before the first and behind the last. What else stands in such a u32 stays.

@group(0) @binding(2) var<storage, read_write> output: array<u32>;    // [rows, classes], two each

fn start_of(row: u32) -> u32 {
    return params.output_offset + row * params.output_stride;
}

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = flat_index(group) * WG_SIZE + lane;
    if (row > params.rows) {
        return;
    }
    // Rows may be apart: then the one's last u32 is not the other's first.
    if (row > 0u) {
        let end = start_of(row - 1u) + params.classes;
        if ((end & 1u) == 1u) {
            let other = output[end / 2u] & 0xffff0000u;
            output[end / 2u] = other | edges[last_edge(row - 1u)];
        }
    }
    if (row < params.rows) {
        let start = start_of(row);
        if ((start & 1u) == 1u) {
            let other = output[start / 2u] & 0xffffu;
            output[start / 2u] = other | (edges[first_edge(row)] << 16u);
        }
    }
}
