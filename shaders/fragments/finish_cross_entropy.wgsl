// From a row's RowStat to its three numbers of the column formula: formulas (6) and (8) of
// docs/NUMERICS.md, dlogits = upstream * (p - onehot).

fn row_finish(index: u32, row: Row, acc: Acc) -> Coef {
    if (row.skipped != 0u) {
        return Coef(0.0, 0.0, 0.0, NO_COLUMN, 1u);
    }
    let upstream = upstream_at(index);
    let sum = 1.0 + acc.rest;
    // p - 1 of the target: where it is the maximum, the 1 cancels before anything is rounded.
    let from_p = exp(row.target_logit - acc.max) / sum - 1.0;
    let p_minus_1 = select(from_p, -acc.rest / sum, row.target_logit == acc.max);
    let undefined = row_is_undefined(row, acc);
    return Coef(
        acc.max,
        select(upstream / sum, params.nan, undefined),
        select(upstream * p_minus_1, params.nan, undefined),
        row.column,
        0u);
}
