// A row of elementwise losses: their sum, and what rounding took from it.

fn row_store(index: u32, row: Row, acc: Acc) {
    store_row(index, acc.sum, select(0.0, acc.lost, is_finite(acc.sum)), 0.0, SKIPPED);
}
