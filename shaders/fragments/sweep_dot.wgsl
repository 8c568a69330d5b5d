// What a sweep collects for softmax's backward: sum of probs * dprobs.

fn sweep(acc: LaneAcc, at: Starts, word: u32, x: Values) -> LaneAcc {
    return lane_push(acc, x * load_second(at, word));
}
