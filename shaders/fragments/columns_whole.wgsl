// Writes words start, start + step, ... below end of a row by the column formula.

fn write_columns(coef: Coef, row: u32, start: u32, end: u32, step: u32) {
    for (var word = start; word < end; word += step) {
        store_output(row, word, column(coef, row, word));
    }
}
