// What a sweep collects for log-softmax's backward: sum of dlog_probs.

fn sweep(acc: LaneAcc, row: u32, word: u32) -> LaneAcc {
    return lane_push(acc, load_second(row, word));
}
