// A row of cross-entropy with an index target: what is read before the sweep, and its loss.

struct Row {
    words: u32,             // words to sweep: none of an ignored row
    column: u32,            // the target, or NO_COLUMN if it is no class
    skipped: u32,
    target_logit: f32,
}

const NO_COLUMN: u32 = 0xffffffffu;

fn row_begin(index: u32) -> Row {
    let target_index = target_at(index);
    if (target_is_ignored(target_index)) {
        return Row(0u, NO_COLUMN, 1u, 0.0);
    }
    if (!target_is_column(target_index)) {
        return Row(params.words, NO_COLUMN, 0u, 0.0);
    }
    let word = load_input(index, target_index.x / WIDTH);
    return Row(params.words, target_index.x, 0u, component(word, target_index.x % WIDTH));
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
        // Two terms of one sign: formula (5).
        let nll = (acc.max - row.target_logit) + log1p(acc.rest);
        result = vec2<f32>(select(nll, params.nan, row_is_undefined(row, acc)), lse_of(acc));
    }
    stats[params.stats_offset + index] = result;
}
