// What a sweep collects for log-softmax's backward: sum of dlog_probs.

fn sweep(acc: LaneAcc, at: Starts, word: u32, x: Values) -> LaneAcc {
    return lane_push(acc, load_second(at, word));
}
