// When a row's columns are written, and by which lane.

// == columns_none
// No columns: a loss or a logsumexp alone.

fn columns(index: u32, row: Row, acc: Acc, start: u32, step: u32) {}

// == columns_now
// Writes words start, start + step, ... of a row.

fn columns(index: u32, row: Row, acc: Acc, start: u32, step: u32) {
    write_columns(row_finish(index, row, acc), index, start, params.words, step);
}

// == columns_later
// Leaves a row's coefficients in scratch, for split_columns.

fn columns(index: u32, row: Row, acc: Acc, start: u32, step: u32) {
    let packed = coef_pack(row_finish(index, row, acc));
    scratch[scratch_coef(index)] = packed[0];
    scratch[scratch_coef(index) + 1u] = packed[1];
}

// == columns_whole
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

// == columns_ragged
// Writes words start, start + step, ... below end of a row by the column formula, each u32 by one
// lane: where the output starts in the middle of one, words are shifted by a column, and the column
// before the first of them is an edge. See storage/edges.wgsl.

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

// == columns_held
// Writes words start, start + step, ... below end of a row by the column formula, from what the
// sweep has left with the lane; see reduce/sweep.wgsl.

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
