// What a sweep collects of a row of logits and its probability targets, for metrics too.

fn sweep(acc: LaneAcc, row: u32, word: u32) -> LaneAcc {
    let x = load_input(row, word);
    let q = load_second(row, word);
    return lane_push(acc, chain(x), label_part(row, word), q, rank_of(x), columns_of(word));
}
