// Writes words start, start + step, ... below end of a row by the column formula, each u32 by one
// lane: where the output starts in the middle of one, words are shifted by a column, and the column
// before the first of them is an edge. See edges.wgsl.

fn write_columns(coef: Coef, row: u32, start: u32, end: u32, step: u32) {
    let at = starts_of(row);
    let shifted = (output_start(at) & 1u) << 31u;
    if (start == 0u && shifted != 0u) {
        // In place: this lane alone overwrites what it reads here.
        store_first(at, column_or_zero(coef, at, 0u).x);
    }
    for (var word = start; word < end; word += step) {
        let shifted_word = word | shifted;
        if (start_column(shifted_word) < params.classes) {
            store_output(at, shifted_word, column_or_zero(coef, at, shifted_word));
        }
    }
}

fn column_or_zero(coef: Coef, at: Starts, word: u32) -> Values {
    if (is_skipped(coef, at.row)) {
        return Values(0.0);
    }
    return column(coef, at, word, load_input(at, word));
}
