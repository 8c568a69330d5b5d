// What a sweep collects for KL(student || teacher).

fn sweep(acc: LaneAcc, at: Starts, word: u32) -> LaneAcc {
    return lane_push(acc, chain(load_input(at, word)), teacher(load_second(at, word)));
}
