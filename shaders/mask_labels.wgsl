// Which elements count, by their labels and by a mask where there is one; one lane four elements of
// a row.

@group(0) @binding(2) var<storage, read_write> counted: array<u32>;    // [rows, words], a byte each

fn label_counts(at: Starts, column: u32) -> bool {
    if (column >= params.classes || !mask_at(at.mask + column)) {
        return false;
    }
    return component(load_second(at, column / WIDTH), column % WIDTH) != params.ignored_label;
}

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = flat_index(group) * WG_SIZE + lane;
    let row = index / params.columns;
    if (row >= params.rows) {
        return;
    }
    let word = index % params.columns;
    let at = starts_of(row);
    var bytes = 0u;
    for (var i = 0u; i < 4u; i += 1u) {
        bytes |= select(0u, 1u << (8u * i), label_counts(at, 4u * word + i));
    }
    counted[params.output_offset + index] = bytes;
}
