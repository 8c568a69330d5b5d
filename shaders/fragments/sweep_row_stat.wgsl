// What a sweep collects of a row of logits: its RowStat.

fn sweep(acc: LaneAcc, at: Starts, word: u32, x: Values) -> LaneAcc {
    return lane_push(acc, chain(x));
}
