// The best column of a row with probability targets, with CORRECT set if it is that of the labels,
// and the row's -log p by its labels alone.

fn best_of(acc: Acc, target_column: u32) -> u32 {
    // A row of nothing but -inf and NaN: its first column.
    let best = select(acc.column, 0u, acc.column == NOT_SEEN);
    return select(best, best | CORRECT, best == target_column);
}

fn labels_nll(acc: Acc) -> f32 {
    return nll_sum(acc, acc.share_spread, acc.share);
}

fn labels_column(acc: Acc) -> u32 {
    return select(acc.label_column, 0u, acc.label_column == NOT_SEEN);
}
