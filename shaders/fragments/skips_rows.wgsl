// The columns of a row that does not count are exactly 0, whatever stands there.

fn is_skipped(coef: Coef, row: u32) -> bool {
    return !row_counts(row);
}
