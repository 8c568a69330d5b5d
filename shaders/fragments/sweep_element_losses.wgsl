// The elementwise losses one by one: written, and summed besides.

fn sweep(acc: LaneAcc, at: Starts, word: u32, x: Values) -> LaneAcc {
    let loss = params.unit * element_at(at, word, x).loss;
    store_output(at, word, loss);
    return lane_push(acc, loss);
}
