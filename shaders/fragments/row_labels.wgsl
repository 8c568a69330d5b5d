// A row of cross-entropy with probability targets, and its loss: formulas (15) and (17).

const NO_COLUMN: u32 = 0xffffffffu;

// A NaN among the labels is the whole row's, and so is a +inf among log-probabilities.
fn row_is_undefined(acc: Acc) -> bool {
    return stat_is_undefined(acc) || !is_finite(acc.weight) || is_positive_infinity(acc.max);
}

fn row_store(index: u32, row: Row, acc: Acc) {
    let lse = row_lse(acc);
    let z_loss = select(params.z_loss * lse * lse, 0.0, params.z_loss == 0.0);
    let loss = params.unit * (nll_sum(acc, acc.spread, acc.weight) + z_loss);
    let undefined = row_is_undefined(acc);
    store_row(
        index,
        select(loss, params.nan, undefined),
        lse,
        select(labels_nll(acc), params.nan, undefined),
        best_of(acc, labels_column(acc)));
}
