// The elementwise losses one by one: written, and summed besides.

fn sweep(acc: LaneAcc, at: Starts, word: u32) -> LaneAcc {
    let loss = element_at(at, word, load_input(at, word)).loss;
    store_output(at, word, params.unit * loss);
    return lane_push(acc, loss);
}
