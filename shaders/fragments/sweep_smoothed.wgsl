// What a sweep collects of a row of logits for label smoothing: its RowStat and its weights.

fn sweep(acc: LaneAcc, at: Starts, word: u32, x: Values) -> LaneAcc {
    return lane_push(acc, chain(x), class_weights(word));
}
