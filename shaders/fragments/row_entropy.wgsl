// A row's entropy, beside its log-sum-exp: formula (21) of docs/NUMERICS.md.

// Two terms of one sign.
fn entropy(acc: Acc) -> f32 {
    return log1p(acc.rest) - 2.0 * (acc.half_sum / (1.0 + acc.rest));
}

fn row_store(index: u32, row: Row, acc: Acc) {
    let undefined = student_is_undefined(acc.max, acc.rest);
    let value = select(params.unit * entropy(acc), params.nan, undefined);
    store_row(index, value, student_lse(acc.max, acc.rest), 0.0, SKIPPED);
}
