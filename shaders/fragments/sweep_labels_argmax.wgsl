// What a sweep collects of a row of logits and its probability targets, for metrics too.

fn sweep(acc: LaneAcc, row: u32, word: u32) -> LaneAcc {
    let z = chain(load_input(row, word));
    return lane_push(acc, z, label_part(row, word), load_second(row, word), columns_of(word));
}
