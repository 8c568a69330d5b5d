// What a sweep collects for KL(student || teacher).

fn sweep(acc: LaneAcc, row: u32, word: u32) -> LaneAcc {
    return lane_push(acc, chain(load_input(row, word)), teacher(load_second(row, word)));
}
