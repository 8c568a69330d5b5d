// From a row's RowStat to log-softmax's column formula.

fn row_finish(index: u32, row: Row, acc: Acc) -> Coef {
    let undefined = !is_finite(acc.rest) || is_positive_infinity(acc.max) || 1.0 + acc.rest == 0.0;
    return Coef(acc.max, select(log1p(acc.rest), params.nan, undefined));
}
