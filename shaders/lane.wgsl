// The same for short rows; one lane a row, no reduction between lanes.

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = flat_index(group) * WG_SIZE + lane;
    if (index >= params.rows) {
        return;
    }
    let row = row_begin(index);
    let total = sweep_words(index, 0u, row.words, 1u);
    row_store(index, row, total);
    columns(index, row, total, 0u, 1u);
}
