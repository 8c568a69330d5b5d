// Every row counts, or says for itself that it does not.

fn row_counts(row: u32) -> bool {
    return true;
}
