// A mask of rows, as targets: a row that does not count has the ignored value.

fn row_counts(row: u32) -> bool {
    return !target_is_ignored(target_at(row));
}
