// The first of two passes of the Jensen-Shannon divergence: the statistics of both rows. NaN where
// one of them has no softmax.

fn row_store(index: u32, row: Row, acc: Acc) {
    let undefined = teacher_is_undefined(acc.max, acc.rest)
        || student_is_undefined(acc.other_max, acc.other_rest);
    let norm = teacher_norm(acc.max, acc.rest);
    pairs[params.pairs_offset + index] = vec4<f32>(
        acc.max,
        select(norm, params.nan, undefined),
        acc.other_max,
        log1p(acc.other_rest));
    store_row(index, 0.0, student_lse(acc.other_max, acc.other_rest), 0.0, SKIPPED);
}
