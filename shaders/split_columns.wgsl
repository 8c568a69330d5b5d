// Few and very long rows, third of three: one workgroup writes the columns of one piece of a row.

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let piece = flat_index(group);
    if (piece >= params.rows * params.splits) {
        return;
    }
    let index = piece / params.splits;
    let split = piece % params.splits;
    let coef = coef_unpack(scratch[scratch_coef(index)], scratch[scratch_coef(index) + 1u]);
    let start = params.first_column + split * params.split_words;
    let end = params.first_column + min((split + 1u) * params.split_words, params.words);
    write_columns(coef, index, start + lane, end, WG_SIZE);
}
