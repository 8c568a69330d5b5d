// The elementwise losses without a gradient: their sum.

fn sweep(acc: LaneAcc, at: Starts, word: u32) -> LaneAcc {
    return lane_push(acc, element_at(at, word, load_input(at, word)).loss);
}
