// What a sweep collects for KL(teacher || student).

fn sweep(acc: LaneAcc, at: Starts, word: u32, x: Values) -> LaneAcc {
    return lane_push(acc, teacher(load_second(at, word)), chain(x));
}
