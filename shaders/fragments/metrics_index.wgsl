// The best column of a row with an index target, with CORRECT set if it is the target.

fn best_of(acc: Acc, target_column: u32) -> u32 {
    // A row of nothing but -inf and NaN: its first column.
    let best = select(acc.column, 0u, acc.column == NOT_SEEN);
    return select(best, best | CORRECT, best == target_column);
}
