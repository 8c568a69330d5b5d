// Accuracy and perplexity, with either kind of targets.

// == metrics_none
// No metrics: a row has a loss and a log-sum-exp.

fn best_of(acc: Acc, target_column: u32) -> u32 {
    return 0u;
}

fn labels_nll(acc: Acc) -> f32 {
    return 0.0;
}

fn labels_column(acc: Acc) -> u32 {
    return 0u;
}

// == best_column
// A row's best column, with CORRECT set if it is the target's.

// A row of nothing but -inf and NaN has its first column.
fn seen_column(column: u32) -> u32 {
    return select(column, 0u, column == NOT_SEEN);
}

fn best_of(acc: Acc, target_column: u32) -> u32 {
    let best = seen_column(acc.column);
    return select(best, best | CORRECT, best == target_column);
}

// == metrics_labels
// What the metrics of a row with probability targets need besides: its -log p by its labels alone,
// and their largest column.

fn labels_nll(acc: Acc) -> f32 {
    return nll_sum(acc, acc.share_spread, acc.share);
}

fn labels_column(acc: Acc) -> u32 {
    return seen_column(acc.label_column);
}
