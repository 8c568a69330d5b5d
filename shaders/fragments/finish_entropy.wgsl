// What the columns of the entropy's backward need of their row.

fn row_finish(index: u32, row: Row, acc: Acc) -> Coef {
    let undefined = student_is_undefined(acc.max, acc.rest);
    return Coef(
        acc.max,
        1.0 + acc.rest,
        log1p(acc.rest),
        entropy(acc),
        select(upstream_at(index), params.nan, undefined));
}
