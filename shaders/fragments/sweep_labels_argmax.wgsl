// What a sweep collects of a row of logits and its probability targets, for metrics too.

fn sweep(acc: LaneAcc, at: Starts, word: u32, x: Values) -> LaneAcc {
    let q = load_second(at, word);
    return lane_push(acc, chain(x), label_part(at, word), q, rank_of(x), columns_of(word));
}
