// A row's results, and its columns where they are asked for; one workgroup a row. Without columns
// one read; with them (softmax, loss + gradient) one write, and two reads or, where lanes hold the
// row, one.

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, lane: Lane) {
    let index = flat_index(group);
    if (index >= params.rows) {
        return;
    }
    let row = row_begin(index);
    let mine = sweep_words(index, lane.index, row.words, WG_SIZE);
    let total = workgroup_reduce(lane, mine);
    input_barrier();
    if (lane.index == 0u) {
        row_store(index, row, total);
    }
    columns(index, row, total, lane.index, WG_SIZE);
}
