// The elementwise losses with their gradient: summed and written in one visit.

fn sweep(acc: LaneAcc, row: u32, word: u32) -> LaneAcc {
    let element = element_at(row, word);
    store_output(row, word, upstream_of(row, word) * element.slope);
    return lane_push(acc, element.loss);
}
