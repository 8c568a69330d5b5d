// How many elements count.

fn sweep(acc: LaneAcc, at: Starts, word: u32, x: Values) -> LaneAcc {
    return lane_push(acc, select(Values(0.0), Values(1.0), element_counts(at, word)));
}
