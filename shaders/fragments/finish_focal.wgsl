// From a row's RowStat to the column formula of focal loss: c (p - onehot), formula (18).

fn row_finish(index: u32, row: Row, acc: Acc) -> Coef {
    if (row.skipped != 0u) {
        return Coef(0.0, 0.0, 0.0, 0.0, NO_COLUMN, 1u);
    }
    let target_p = target_p(row, acc);
    let nll = nll_of(acc, row.target_logit);
    let focal = modulation(Values(target_p.x), Values(target_p.y), Values(nll));
    let scale = upstream_at(index) * row.target_weight * component(focal.slope, 0u);
    let undefined = row_is_undefined(row, acc);
    return Coef(
        acc.max,
        select(scale / (1.0 + acc.rest), params.nan, undefined),
        0.0,
        select(-scale * target_p.y, params.nan, undefined),
        row.column,
        0u);
}
