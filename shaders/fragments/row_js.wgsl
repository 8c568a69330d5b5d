// A row of the Jensen-Shannon divergence, its second pass: formula (20) of docs/NUMERICS.md. The
// log-sum-exp is there already.

struct Row { words: u32 }

fn row_begin(index: u32) -> Row {
    return Row(params.swept_words);
}

fn row_is_undefined(index: u32) -> bool {
    return !is_finite(pair_at(index).y) || !is_finite(pair_at(index).w);
}

fn row_store(index: u32, row: Row, acc: Acc) {
    let loss = params.unit * acc.both;
    stats[params.stats_offset + index].x = select(loss, params.nan, row_is_undefined(index));
}
