// A row of logsumexp: no target, no loss.

struct Row { words: u32 }

fn row_begin(index: u32) -> Row {
    return Row(params.swept_words);
}

fn row_store(index: u32, row: Row, acc: Acc) {
    store_row(index, 0.0, lse_of(acc), 0.0, SKIPPED);
}
