// What a sweep collects of a row of logits and its probability targets.

fn sweep(acc: LaneAcc, row: u32, word: u32) -> LaneAcc {
    return lane_push(acc, chain(load_input(row, word)), label_part(row, word));
}
