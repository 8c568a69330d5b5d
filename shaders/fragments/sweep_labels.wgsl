// What a sweep collects of a row of logits and its probability targets.

fn sweep(acc: LaneAcc, at: Starts, word: u32) -> LaneAcc {
    return lane_push(acc, chain(load_input(at, word)), label_part(at, word));
}
