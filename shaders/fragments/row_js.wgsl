// A row of the Jensen-Shannon divergence, its second pass: formula (20) of docs/NUMERICS.md. The
// log-sum-exp is there already.

fn row_is_undefined(index: u32) -> bool {
    return !is_finite(pair_at(index).y) || !is_finite(pair_at(index).w);
}

fn row_store(index: u32, row: Row, acc: Acc) {
    let loss = params.unit * acc.both;
    let defined = select(loss, params.nan, row_is_undefined(index));
    stats[params.stats_offset + index].x = select(0.0, defined, row_counts(index));
}
