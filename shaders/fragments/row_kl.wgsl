// A row of KL(teacher || student): x of acc_pair is the teacher, y the student. Formula (19) of
// docs/NUMERICS.md.

fn row_is_undefined(acc: Acc) -> bool {
    return teacher_is_undefined(acc.max, acc.rest)
        || student_is_undefined(acc.other_max, acc.other_rest);
}

// What the teacher's probabilities sum to.
fn teacher_total(acc: Acc) -> f32 {
    return select(1.0, exp(acc.max) * (1.0 + acc.rest), TEACHER_IS_NORMALIZED);
}

fn row_store(index: u32, row: Row, acc: Acc) {
    let sum = 1.0 + acc.rest;
    let mean = 2.0 * z_scale() * (acc.half_sum / sum);
    let kl = (mean - teacher_norm(acc.max, acc.rest)) + log1p(acc.other_rest);
    // What is infinite stays so, though the teacher's sum be flushed to 0.
    let total = select(teacher_total(acc), 1.0, is_positive_infinity(kl));
    // A teacher without any probability: a sum of nothing.
    let loss = select(params.unit * total * kl, 0.0, sum == 0.0);
    store_row(
        index,
        select(loss, params.nan, row_is_undefined(acc)),
        student_lse(acc.other_max, acc.other_rest),
        0.0,
        SKIPPED);
}
