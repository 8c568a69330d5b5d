// What a sweep collects of a row of logits and its probability targets.

fn sweep(acc: LaneAcc, at: Starts, word: u32, x: Values) -> LaneAcc {
    return lane_push(acc, chain(x), label_part(at, word));
}
