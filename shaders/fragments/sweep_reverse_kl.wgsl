// What a sweep collects for KL(student || teacher).

fn sweep(acc: LaneAcc, at: Starts, word: u32, x: Values) -> LaneAcc {
    return lane_push(acc, chain(x), teacher(load_second(at, word)));
}
