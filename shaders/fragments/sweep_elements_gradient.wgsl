// The elementwise losses with their gradient: summed and written in one visit.

fn sweep(acc: LaneAcc, at: Starts, word: u32, x: Values) -> LaneAcc {
    let element = element_at(at, word, x);
    let gradient = upstream_of(at, word) * element.slope;
    store_output(at, word, select(Values(0.0), gradient, element_counts(at, word)));
    return lane_push(acc, params.unit * element.loss);
}
