// A row of which nothing is read before its sweep. One that does not count is not swept.

struct Row { words: u32 }

fn row_begin(index: u32) -> Row {
    return Row(select(0u, params.swept_words, row_counts(index)));
}
