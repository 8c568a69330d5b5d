// The elementwise losses one by one: written, and summed besides.

fn sweep(acc: LaneAcc, at: Starts, word: u32, x: Values) -> LaneAcc {
    let loss = element_at(at, word, x).loss;
    store_output(at, word, params.unit * loss);
    return lane_push(acc, loss);
}
