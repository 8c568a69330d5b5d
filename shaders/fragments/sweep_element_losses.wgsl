// The elementwise losses one by one: written, and summed besides.

fn sweep(acc: LaneAcc, row: u32, word: u32) -> LaneAcc {
    let loss = element_at(row, word).loss;
    store_output(row, word, params.unit * loss);
    return lane_push(acc, loss);
}
