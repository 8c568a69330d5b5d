// Writes words start, start + step, ... of a row by the column formula.

fn columns(index: u32, row: Row, acc: Acc, start: u32, step: u32) {
    let coef = row_finish(index, row, acc);
    for (var word = start; word < params.words; word += step) {
        store_output(index, word, column(coef, index, word));
    }
}
