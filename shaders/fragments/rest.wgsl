// RowStat's arithmetic, for everything that carries one: the maximum, and rest, the sum of
// exp(x - max) over all elements but one instance of the maximum itself. Formulas (1) to (3) of
// docs/NUMERICS.md. Leaving the maximum's own 1 out keeps the digits of a confident row. A NaN ends
// up in rest: as NaN, or as infinity where a driver's exp(NaN) is that; no sound row makes either.

// Words collected in one run before they join the lane's total: the rounding errors of a long row
// grow with the number of runs, not with the number of words.
const SWEEP_RUN: u32 = 64u;

// rest with one more element, the maximum being that before it; scale is that of distances. One
// exp, no branch. The select keeps a second +inf from making inf - inf.
fn rest_pushed(max: Values, rest: Values, x: Values, scale: f32) -> Values {
    let e = select(exp(-scale * abs(x - max)), Values(1.0), x == max);
    return select(rest + e, e + rest * e, x > max);
}

// rest of both parts together.
fn rest_combined(a_max: f32, a_rest: f32, b_max: f32, b_rest: f32, scale: f32) -> f32 {
    let a_wins = a_max >= b_max;
    let e = select(exp(-scale * abs(a_max - b_max)), 1.0, a_max == b_max);
    return select(b_rest, a_rest, a_wins) + (1.0 + select(a_rest, b_rest, a_wins)) * e;
}

// How much further a weighed sum of distances from the maximum becomes when one part's maximum is
// below that of the whole. What weighs 0 may be infinitely far away.
fn spread_moved(weight: f32, max: f32, top: f32) -> f32 {
    return select(weight * (top - max), 0.0, weight == 0.0 || max == top);
}

// The same for one more element: either it is below the maximum, or all that came before.
fn spread_pushed(max: Values, weight: Values, x: Values, w: Values) -> Values {
    let moved = select(w, weight, x > max);
    let is_zero = (x == max) | (moved == Values(0.0));
    return moved * select(abs(x - max), Values(0.0), is_zero);
}

// The first of the columns that hold the larger of two values.
fn first_column(a: f32, a_column: u32, b: f32, b_column: u32) -> u32 {
    return select(select(b_column, a_column, a > b), min(a_column, b_column), a == b);
}
