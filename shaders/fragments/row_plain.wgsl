// A row that has columns to write and nothing else.

struct Row { words: u32 }

fn row_begin(index: u32) -> Row {
    return Row(params.swept_words);
}

fn row_store(index: u32, row: Row, acc: Acc) {}
