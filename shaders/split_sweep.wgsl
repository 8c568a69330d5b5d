// Few and very long rows, first of three: one workgroup sweeps one piece of a row.

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, lane: Lane) {
    let piece = flat_index(group);
    if (piece >= params.rows * params.splits) {
        return;
    }
    let index = piece / params.splits;
    let split = piece % params.splits;
    let end = min((split + 1u) * params.split_words, params.words);
    let mine = sweep_words(index, split * params.split_words + lane.index, end, WG_SIZE);
    let total = workgroup_reduce(lane, mine);
    if (lane.index == 0u) {
        let words = acc_pack(total);
        for (var i = 0u; i < ACC_WORDS; i += 1u) {
            scratch[scratch_piece(index, split) + i] = words[i];
        }
    }
}
