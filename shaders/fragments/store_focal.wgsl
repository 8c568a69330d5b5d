// The loss of a row of focal loss: formula (18) of docs/NUMERICS.md.

// p and 1 - p of the target: where it is the maximum, the 1 cancels before anything is rounded.
fn target_p(row: Row, acc: Acc) -> vec2<f32> {
    let sum = 1.0 + acc.rest;
    let p = exp(row.target_logit - acc.max) / sum;
    return vec2<f32>(p, select(1.0 - p, acc.rest / sum, row.target_logit == acc.max));
}

fn row_store(index: u32, row: Row, acc: Acc) {
    if (row.skipped != 0u) {
        store_row(index, 0.0, 0.0, 0.0, SKIPPED);
        return;
    }
    let nll = nll_of(acc, row.target_logit);
    let target_p = target_p(row, acc);
    let focal = modulation(Values(target_p.x), Values(target_p.y), Values(nll));
    let weight = row.target_weight * component(focal.factor, 0u);
    let loss = select(params.unit * weight * nll, 0.0, weight == 0.0);
    store_row(
        index, select(loss, params.nan, row_is_undefined(row, acc)), row_lse(acc), nll, SKIPPED);
}
