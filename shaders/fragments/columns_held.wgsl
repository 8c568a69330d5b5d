// Writes words start, start + step, ... below end of a row by the column formula, from what the
// sweep has left with the lane; see sweep_held.wgsl.

fn write_columns(coef: Coef, row: u32, start: u32, end: u32, step: u32) {
    let at = starts_of(row);
    for (var i = 0u; i < HELD; i += 1u) {
        let word = start + i * step;
        if (word < end) {
            store_output(at, word, held_column(coef, at, word, held[i]));
        }
    }
}

fn held_column(coef: Coef, at: Starts, word: u32, x: Values) -> Values {
    if (is_skipped(coef, at.row)) {
        return Values(0.0);
    }
    return column(coef, at, word, x);
}
