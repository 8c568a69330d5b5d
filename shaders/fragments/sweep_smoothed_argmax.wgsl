// What a sweep collects of a row of logits for label smoothing and metrics.

fn sweep(acc: LaneAcc, row: u32, word: u32) -> LaneAcc {
    return lane_push(acc, chain(load_input(row, word)), class_weights(word), columns_of(word));
}
