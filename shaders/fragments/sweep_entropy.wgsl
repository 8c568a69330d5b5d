// What a sweep collects for the entropy: it is minus the divergence from log-probabilities of 0.

fn sweep(acc: LaneAcc, row: u32, word: u32) -> LaneAcc {
    return lane_push(acc, load_input(row, word), Values(0.0));
}
