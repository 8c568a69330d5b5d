// The elementwise losses with their gradient: summed and written in one visit.

fn sweep(acc: LaneAcc, at: Starts, word: u32, x: Values) -> LaneAcc {
    let element = element_at(at, word, x);
    store_output(at, word, upstream_of(at, word) * element.slope);
    return lane_push(acc, params.unit * element.loss);
}
