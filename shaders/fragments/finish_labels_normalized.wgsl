// Normalised input with probability targets: every column has its part, formula (17).

fn row_finish(index: u32, row: Row, acc: Acc) -> Coef {
    let base = select(0.0, params.nan, row_is_undefined(acc));
    return Coef(base, upstream_at(index), 0.0, NO_COLUMN, 0u);
}
