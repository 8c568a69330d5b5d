// From a row's RowStat and the sum of its labels to the columns: formula (16) of docs/NUMERICS.md.

fn row_finish(index: u32, row: Row, acc: Acc) -> Coef {
    let undefined = row_is_undefined(acc);
    return Coef(
        acc.max,
        1.0 + acc.rest,
        acc.rest,
        acc.weight,
        select(lse_times(acc, 2.0 * params.z_loss), 0.0, params.z_loss == 0.0),
        select(upstream_at(index), params.nan, undefined));
}
