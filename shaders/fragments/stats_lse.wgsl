// The log-sum-exp of a RowStat, the special rows told apart by their bits.

fn lse_of(acc: Acc) -> f32 {
    let sum = 1.0 + acc.rest;
    let finite_lse = z_scale() * acc.max + log1p(acc.rest);
    let empty = select(finite_lse, -params.infinity, sum == 0.0);
    let infinite = select(empty, params.infinity, is_positive_infinity(acc.max));
    return select(params.nan, infinite, is_finite(acc.rest));
}
