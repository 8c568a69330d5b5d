// What the gradient of probability targets needs of a row of logits: formula (16).

fn row_finish(index: u32, row: Row, acc: Acc) -> Coef {
    let undefined = stat_is_undefined(acc);
    let upstream = select(upstream_at(index), params.nan, undefined);
    return Coef(stat_max(acc), stat_log_sum(acc), upstream);
}
