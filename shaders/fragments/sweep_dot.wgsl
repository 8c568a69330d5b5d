// What a sweep collects for softmax's backward: sum of probs * dprobs.

fn sweep(acc: LaneAcc, row: u32, word: u32) -> LaneAcc {
    return lane_push(acc, load_input(row, word) * load_second(row, word));
}
