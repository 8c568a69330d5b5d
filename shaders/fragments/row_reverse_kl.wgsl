// A row of KL(student || teacher): x of acc_pair is the student, y the teacher. Formula (19) of
// docs/NUMERICS.md.

fn row_is_undefined(acc: Acc) -> bool {
    return student_is_undefined(acc.max, acc.rest)
        || teacher_is_undefined(acc.other_max, acc.other_rest);
}

fn divergence(acc: Acc) -> f32 {
    let mean = 2.0 * z_scale() * (acc.half_sum / (1.0 + acc.rest));
    return (mean - log1p(acc.rest)) + teacher_norm(acc.other_max, acc.other_rest);
}

fn row_store(index: u32, row: Row, acc: Acc) {
    store_row(
        index,
        select(params.unit * divergence(acc), params.nan, row_is_undefined(acc)),
        student_lse(acc.max, acc.rest),
        0.0,
        SKIPPED);
}
