// What a sweep collects of a row of logits for metrics: its RowStat and its best column.

fn sweep(acc: LaneAcc, at: Starts, word: u32, x: Values) -> LaneAcc {
    return lane_push(acc, chain(x), Values(0.0), rank_of(x), columns_of(word));
}
