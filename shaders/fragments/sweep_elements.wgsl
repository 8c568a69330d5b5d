// The elementwise losses without a gradient: their sum.

fn sweep(acc: LaneAcc, at: Starts, word: u32, x: Values) -> LaneAcc {
    return lane_push(acc, params.unit * element_at(at, word, x).loss);
}
