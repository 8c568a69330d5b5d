// The elementwise losses with their gradient: summed and written in one visit.

fn sweep(acc: LaneAcc, at: Starts, word: u32) -> LaneAcc {
    let element = element_at(at, word, load_input(at, word));
    store_output(at, word, upstream_of(at, word) * element.slope);
    return lane_push(acc, element.loss);
}
