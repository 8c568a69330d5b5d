// From a row's RowStat to log-softmax's column formula.

fn row_finish(index: u32, row: Row, acc: Acc) -> Coef {
    let undefined = has_no_softmax(acc.max, acc.rest);
    return Coef(acc.max, select(log1p(acc.rest), params.nan, undefined));
}
