// What a sweep collects for softmax's backward: sum of probs * dprobs.

fn sweep(acc: LaneAcc, at: Starts, word: u32) -> LaneAcc {
    return lane_push(acc, load_input(at, word) * load_second(at, word));
}
