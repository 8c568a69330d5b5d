// Where the accumulator of a piece of a row stands in scratch.

fn scratch_piece(row: u32, split: u32) -> u32 {
    return params.rows * 2u + (row * params.splits + split) * ACC_WORDS;
}
