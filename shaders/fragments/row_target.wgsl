// A row with an index target: what is read before the sweep. The target's logit is that of z, after
// the chain.

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
        return Row(params.swept_words, NO_COLUMN, 0u, 0.0, 0.0);
    }
    let word = chain(load_input(starts_of(index), target_index.x / WIDTH));
    return Row(
        params.swept_words,
        target_index.x,
        0u,
        component(word, target_index.x % WIDTH),
        params.smooth_target * class_weight(target_index.x));
}

// A row with NaN, +inf, no finite logit, or no valid target has no loss: formula table in
// docs/NUMERICS.md, "Special values".
fn row_is_undefined(row: Row, acc: Acc) -> bool {
    return row.column == NO_COLUMN || stat_is_undefined(acc);
}
