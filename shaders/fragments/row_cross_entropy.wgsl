// A row of cross-entropy with an index target: what is read before the sweep, and its loss. The
// target's logit and the statistic are those of z, after the chain.

struct Row {
    words: u32,             // words to sweep: none of an ignored row
    column: u32,            // the target, or NO_COLUMN if it is no class
    skipped: u32,
    target_logit: f32,
    target_weight: f32,     // (1 - e) w_y
}

const NO_COLUMN: u32 = 0xffffffffu;

fn row_begin(index: u32) -> Row {
    let target_index = target_at(index);
    if (target_is_ignored(target_index)) {
        return Row(0u, NO_COLUMN, 1u, 0.0, 0.0);
    }
    if (!target_is_column(target_index)) {
        return Row(params.words, NO_COLUMN, 0u, 0.0, 0.0);
    }
    let word = chain(load_input(index, target_index.x / WIDTH));
    return Row(
        params.words,
        target_index.x,
        0u,
        component(word, target_index.x % WIDTH),
        params.smooth_target * class_weight(target_index.x));
}

// A row with NaN, +inf, no finite logit, or no valid target has no loss: formula table in
// docs/NUMERICS.md, "Special values".
fn row_is_undefined(row: Row, acc: Acc) -> bool {
    return row.column == NO_COLUMN || !is_finite(acc.rest) || is_positive_infinity(acc.max)
        || 1.0 + acc.rest == 0.0;
}

fn row_store(index: u32, row: Row, acc: Acc) {
    var result = vec2<f32>(0.0, 0.0);
    if (row.skipped == 0u) {
        // Two terms of one sign: formula (5). What weighs 0 contributes 0, though it be infinite.
        let nll = (acc.max - row.target_logit) + log1p(acc.rest);
        let own = select(row.target_weight * nll, 0.0, row.target_weight == 0.0);
        let lse = lse_of(acc);
        let z_loss = select(params.z_loss * lse * lse, 0.0, params.z_loss == 0.0);
        let loss = own + smoothing_loss(acc) + z_loss;
        result = vec2<f32>(select(loss, params.nan, row_is_undefined(row, acc)), lse);
    }
    stats[params.stats_offset + index] = result;
}
