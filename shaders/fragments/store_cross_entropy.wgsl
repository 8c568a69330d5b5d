// The loss of a row of cross-entropy with an index target: formulas (7), (12) and (17).

fn row_store(index: u32, row: Row, acc: Acc) {
    if (row.skipped != 0u) {
        store_row(index, 0.0, 0.0, 0.0, SKIPPED);
        return;
    }
    let nll = nll_of(acc, row.target_logit);
    // What weighs 0 contributes 0, though it be infinite.
    let own = select(row.target_weight * nll, 0.0, row.target_weight == 0.0);
    let lse = row_lse(acc);
    let z_loss = select(params.z_loss * lse * lse, 0.0, params.z_loss == 0.0);
    let loss = params.unit * (own + smoothing_loss(acc) + z_loss);
    let undefined = row_is_undefined(row, acc);
    store_row(
        index,
        select(loss, params.nan, undefined),
        lse,
        select(nll, params.nan, undefined),
        best_of(acc, row.column));
}
