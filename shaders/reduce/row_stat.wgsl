// RowStat: a row's maximum and the rest of its exponentials.

// == rest
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

// == collapse
// One accumulator from those of a word's components.

fn lane_collapse(acc: LaneAcc) -> Acc {
    var total = lane_component(acc, 0u);
    for (var i = 1u; i < WIDTH; i += 1u) {
        total = acc_combine(total, lane_component(acc, i));
    }
    return total;
}

// == acc_row_stat
// RowStat, the value that every row reduction here is made of; see rest.

struct Acc { max: f32, rest: f32 }

const ACC_WORDS: u32 = 1u;

// WIDTH independent RowStats, one for each component of a word.
struct LaneAcc { max: Values, rest: Values }

fn lane_identity() -> LaneAcc {
    return LaneAcc(Values(F32_LOWEST), Values(-1.0));
}

fn lane_push(acc: LaneAcc, x: Values) -> LaneAcc {
    return LaneAcc(max(acc.max, x), rest_pushed(acc.max, acc.rest, x, z_scale()));
}

// After a push in the components that the mask has, before it in the others.
fn lane_select(before: LaneAcc, after: LaneAcc, mask: Mask) -> LaneAcc {
    return LaneAcc(
        select(before.max, after.max, mask),
        select(before.rest, after.rest, mask));
}

fn acc_combine(a: Acc, b: Acc) -> Acc {
    return Acc(
        max(a.max, b.max), rest_combined(a.max, a.rest, b.max, b.rest, z_scale()));
}

fn acc_identity() -> Acc {
    return Acc(F32_LOWEST, -1.0);
}

fn lane_collapse(acc: LaneAcc) -> Acc {
    var total = Acc(component(acc.max, 0u), component(acc.rest, 0u));
    for (var i = 1u; i < WIDTH; i += 1u) {
        total = acc_combine(total, Acc(component(acc.max, i), component(acc.rest, i)));
    }
    return total;
}

fn acc_pack(acc: Acc) -> array<vec4<u32>, ACC_WORDS> {
    return array<vec4<u32>, ACC_WORDS>(
        vec4<u32>(bitcast<u32>(acc.max), bitcast<u32>(acc.rest), 0u, 0u));
}

fn acc_unpack(words: array<vec4<u32>, ACC_WORDS>) -> Acc {
    return Acc(bitcast<f32>(words[0].x), bitcast<f32>(words[0].y));
}

// == acc_row_stat_subgroup
// RowStat over the active lanes of a subgroup: every lane gets the result.

fn acc_subgroup(acc: Acc, lane_id: u32) -> Acc {
    let top = subgroupMax(acc.max);
    // One lane that holds the maximum keeps its own 1 left out; the others' count.
    let owner = subgroupMin(select(0xffffffffu, lane_id, acc.max == top));
    let e = select(exp(z_scale() * (acc.max - top)), 1.0, acc.max == top);
    let part = select((1.0 + acc.rest) * e, acc.rest, lane_id == owner);
    return Acc(top, subgroupAdd(part));
}

// == sweep_row_stat
// What a sweep collects of a row of logits: its RowStat.

fn sweep(acc: LaneAcc, at: Starts, word: u32, x: Values) -> LaneAcc {
    return lane_push(acc, chain(x));
}
