// Writes words start, start + step, ... of a row.

fn columns(index: u32, row: Row, acc: Acc, start: u32, step: u32) {
    write_columns(row_finish(index, row, acc), index, start, params.words, step);
}
