// Every word of a row has all its elements.

fn swept(run: LaneAcc, row: u32, word: u32) -> LaneAcc {
    return sweep(run, row, word);
}
