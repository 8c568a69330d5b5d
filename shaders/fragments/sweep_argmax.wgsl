// What a sweep collects of a row of logits for metrics: its RowStat and its best column.

fn sweep(acc: LaneAcc, row: u32, word: u32) -> LaneAcc {
    return lane_push(acc, chain(load_input(row, word)), Values(0.0), columns_of(word));
}
