// Writes words start, start + step, ... below end of a row by the column formula: two at a time, so
// that a lane has more than one read on its way.

fn write_columns(coef: Coef, row: u32, start: u32, end: u32, step: u32) {
    let at = starts_of(row);
    var word = start;
    if (is_skipped(coef, row)) {
        for (; word < end; word += step) {
            store_output(at, word, Values(0.0));
        }
        return;
    }
    for (; word + step < end; word += 2u * step) {
        let x = load_input(at, word);
        let next_x = load_input(at, word + step);
        store_output(at, word, column(coef, at, word, x));
        store_output(at, word + step, column(coef, at, word + step, next_x));
    }
    if (word < end) {
        store_output(at, word, column(coef, at, word, load_input(at, word)));
    }
}
