// Focal loss; the elements of its binary form are in op/binary.wgsl.

// == modulation
// How focal loss weighs an element or a row: formula (18) of docs/NUMERICS.md.

struct Modulation {
    factor: Values,     // (1 - p)^gamma
    slope: Values,      // (1 - p)^gamma + gamma p (1 - p)^(gamma - 1) nll
}

// miss is 1 - p, formed without cancellation.
fn modulation(p: Values, miss: Values, nll: Values) -> Modulation {
    let plain = Values(params.gamma) == Values(0.0);
    // 0 to any power but 0 is 0, which a logarithm of 0 might not lead to.
    let power = select(pow(miss, Values(params.gamma)), Values(0.0), miss == Values(0.0));
    let factor = select(power, Values(1.0), plain);
    // nll / (1 - p) tends to 1 where p tends to 1.
    let ratio = select(nll / miss, Values(1.0), miss == Values(0.0));
    let pull = params.gamma * p;
    let more = select(pull * ratio, Values(0.0), pull == Values(0.0));
    return Modulation(factor, factor + factor * more);
}

// == store_focal
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

// == finish_focal
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
