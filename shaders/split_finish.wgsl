// Few and very long rows, second of three: one workgroup folds the pieces of a row, in their order,
// writes the row's results and, where columns follow, leaves its coefficients for them.

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, lane: Lane) {
    let index = flat_index(group);
    if (index >= params.rows) {
        return;
    }
    let row = row_begin(index);
    var acc = acc_identity();
    for (var split = lane.index; split < params.splits; split += WG_SIZE) {
        var words = array<vec4<u32>, ACC_WORDS>();
        for (var i = 0u; i < ACC_WORDS; i += 1u) {
            words[i] = scratch[scratch_piece(index, split) + i];
        }
        acc = acc_combine(acc, acc_unpack(words));
    }
    let total = workgroup_reduce(lane, acc);
    if (lane.index == 0u) {
        row_store(index, row, total);
        columns(index, row, total, 0u, 1u);
    }
}
