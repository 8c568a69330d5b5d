// The elementwise losses without a gradient: their sum.

fn sweep(acc: LaneAcc, row: u32, word: u32) -> LaneAcc {
    return lane_push(acc, element_at(row, word).loss);
}
