// A row's best column, with CORRECT set if it is the target's.

// A row of nothing but -inf and NaN has its first column.
fn seen_column(column: u32) -> u32 {
    return select(column, 0u, column == NOT_SEEN);
}

fn best_of(acc: Acc, target_column: u32) -> u32 {
    let best = seen_column(acc.column);
    return select(best, best | CORRECT, best == target_column);
}
