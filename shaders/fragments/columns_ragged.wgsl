// Writes words start, start + step, ... below end of a row by the column formula, each u32 by one
// lane: where the output starts in the middle of one, words are shifted by a column, and the column
// before the first of them is an edge. See edges.wgsl.

fn write_columns(coef: Coef, row: u32, start: u32, end: u32, step: u32) {
    let shifted = (output_start(row) & 1u) << 31u;
    if (start == 0u && shifted != 0u) {
        // In place: this lane alone overwrites what it reads here.
        store_first(row, column(coef, row, 0u).x);
    }
    for (var word = start; word < end; word += step) {
        let at = word | shifted;
        if (start_column(at) < params.classes) {
            store_output(row, at, column(coef, row, at));
        }
    }
}
