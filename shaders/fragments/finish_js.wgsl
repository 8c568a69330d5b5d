// What the columns of the Jensen-Shannon divergence need of their row.

fn row_finish(index: u32, row: Row, acc: Acc) -> Coef {
    let undefined = row_is_undefined(index);
    return Coef(acc.student, select(upstream_at(index), params.nan, undefined));
}
