// From a row's RowStat to its three numbers of the column formula: formulas (6), (8) and (13) of
// docs/NUMERICS.md, dz = upstream * (A p - B onehot - k w).

fn row_finish(index: u32, row: Row, acc: Acc) -> Coef {
    if (row.skipped != 0u) {
        return Coef(0.0, 0.0, 0.0, 0.0, NO_COLUMN, 1u);
    }
    let upstream = upstream_at(index);
    let sum = 1.0 + acc.rest;
    // p - 1 of the target: where it is the maximum, the 1 cancels before anything is rounded.
    let p = exp(z_scale() * (row.target_logit - acc.max)) / sum;
    let p_minus_1 = select(p - 1.0, -acc.rest / sum, row.target_logit == acc.max);
    // A = B + more, and B (p - 1) + more p is the target's A p - B without a cancellation.
    let more = params.smooth_class * params.weight_sum + lse_times(acc, 2.0 * params.z_loss);
    let shift = params.smooth_class * class_weight(min(row.column, params.classes - 1u));
    let own = row.target_weight * p_minus_1 + more * p - shift;
    let undefined = row_is_undefined(row, acc);
    return Coef(
        acc.max,
        select(upstream * (row.target_weight + more) / sum, params.nan, undefined),
        upstream * params.smooth_class,
        select(upstream * own, params.nan, undefined),
        row.column,
        0u);
}
