// The gradient's one column with an index target and normalised input: formula (17).

fn row_finish(index: u32, row: Row, acc: Acc) -> Coef {
    if (row.skipped != 0u) {
        return Coef(0.0, 0.0, 0.0, NO_COLUMN, 1u);
    }
    let upstream = upstream_at(index);
    let base = select(0.0, params.nan, row.column == NO_COLUMN || is_nan(upstream));
    return Coef(base, 0.0, -upstream * row.target_weight, row.column, 0u);
}
