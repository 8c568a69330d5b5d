// What a sweep collects for the entropy: it is minus the divergence from log-probabilities of 0.

fn sweep(acc: LaneAcc, at: Starts, word: u32, x: Values) -> LaneAcc {
    return lane_push(acc, x, Values(0.0));
}
