// From a row's RowStat to the column formula without a target: softmax with an upstream of 1, and
// logsumexp's backward with the caller's.

const NO_COLUMN: u32 = 0xffffffffu;

fn row_finish(index: u32, row: Row, acc: Acc) -> Coef {
    let sum = 1.0 + acc.rest;
    let undefined = has_no_softmax(acc.max, acc.rest);
    return Coef(
        acc.max,
        select(upstream_at(index) / sum, params.nan, undefined),
        0.0,
        0.0,
        NO_COLUMN,
        0u);
}
