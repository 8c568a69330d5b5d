// What a sweep collects for KL(teacher || student).

fn sweep(acc: LaneAcc, row: u32, word: u32) -> LaneAcc {
    return lane_push(acc, teacher(load_second(row, word)), chain(load_input(row, word)));
}
