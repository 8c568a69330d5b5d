// A row that has columns to write and nothing else.

fn row_store(index: u32, row: Row, acc: Acc) {}
