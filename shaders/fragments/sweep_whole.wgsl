// Every word of a row has all its elements.

fn swept(run: LaneAcc, at: Starts, word: u32, x: Values) -> LaneAcc {
    return sweep(run, at, word, x);
}
