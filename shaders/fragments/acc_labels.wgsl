// RowStat with what probability targets and their metrics need: the weights w_j, as acc_weighted
// has them; the same of the bare labels q_j; the first column that holds the maximum of x; and the
// largest label with its first column.

struct Acc {
    max: f32,
    rest: f32,
    weight: f32,
    spread: f32,
    share: f32,             // sum of q_j
    share_spread: f32,      // sum of q_j (max - x_j)
    label: f32,
    column: u32,
    label_column: u32,
}

const ACC_WORDS: u32 = 3u;

// WIDTH independent ones, one for each component of a word.
struct LaneAcc {
    max: Values,
    rest: Values,
    weight: Values,
    spread: Values,
    share: Values,
    share_spread: Values,
    label: Values,
    column: Columns,
    label_column: Columns,
}

const NOT_SEEN: u32 = 0xffffffffu;

fn lane_identity() -> LaneAcc {
    let zero = Values(0.0);
    let lowest = Values(F32_LOWEST);
    let none = Columns(NOT_SEEN);
    return LaneAcc(lowest, Values(-1.0), zero, zero, zero, zero, lowest, none, none);
}

// weight * distance, where what weighs 0 may be infinitely far away.
fn lane_far(weight: Values, distance: Values) -> Values {
    return select(weight * distance, Values(0.0), weight == Values(0.0));
}

// A lane sees its columns in rising order: the first of equals stays.
fn lane_push(acc: LaneAcc, x: Values, w: Values, q: Values, columns: Columns) -> LaneAcc {
    let e = select(exp(-abs(x - acc.max)), Values(1.0), x == acc.max);
    let rises = x > acc.max;
    let distance = select(abs(x - acc.max), Values(0.0), x == acc.max);
    let first = rises | ((x == acc.max) & (acc.column == Columns(NOT_SEEN)));
    let leads = (q > acc.label) | ((q == acc.label) & (acc.label_column == Columns(NOT_SEEN)));
    return LaneAcc(
        max(acc.max, x),
        select(acc.rest + e, e + acc.rest * e, rises),
        acc.weight + w,
        acc.spread + lane_far(select(w, acc.weight, rises), distance),
        acc.share + q,
        acc.share_spread + lane_far(select(q, acc.share, rises), distance),
        select(acc.label, q, leads),
        select(acc.column, columns, first),
        select(acc.label_column, columns, leads));
}

fn acc_far(weight: f32, distance: f32) -> f32 {
    return select(weight * distance, 0.0, weight == 0.0);
}

fn first_of(a: f32, a_column: u32, b: f32, b_column: u32) -> u32 {
    return select(select(b_column, a_column, a > b), min(a_column, b_column), a == b);
}

fn acc_combine(a: Acc, b: Acc) -> Acc {
    let a_wins = a.max >= b.max;
    let top = select(b.max, a.max, a_wins);
    let low = select(a.max, b.max, a_wins);
    let top_rest = select(b.rest, a.rest, a_wins);
    let low_sum = 1.0 + select(a.rest, b.rest, a_wins);
    let e = select(exp(low - top), 1.0, low == top);
    let distance = select(top - low, 0.0, low == top);
    let low_weight = select(a.weight, b.weight, a_wins);
    let low_share = select(a.share, b.share, a_wins);
    return Acc(
        top,
        top_rest + low_sum * e,
        a.weight + b.weight,
        a.spread + b.spread + acc_far(low_weight, distance),
        a.share + b.share,
        a.share_spread + b.share_spread + acc_far(low_share, distance),
        max(a.label, b.label),
        first_of(a.max, a.column, b.max, b.column),
        first_of(a.label, a.label_column, b.label, b.label_column));
}

fn acc_identity() -> Acc {
    return Acc(F32_LOWEST, -1.0, 0.0, 0.0, 0.0, 0.0, F32_LOWEST, NOT_SEEN, NOT_SEEN);
}

fn lane_component(acc: LaneAcc, i: u32) -> Acc {
    return Acc(
        component(acc.max, i),
        component(acc.rest, i),
        component(acc.weight, i),
        component(acc.spread, i),
        component(acc.share, i),
        component(acc.share_spread, i),
        component(acc.label, i),
        column_component(acc.column, i),
        column_component(acc.label_column, i));
}

fn lane_collapse(acc: LaneAcc) -> Acc {
    var total = lane_component(acc, 0u);
    for (var i = 1u; i < WIDTH; i += 1u) {
        total = acc_combine(total, lane_component(acc, i));
    }
    return total;
}

fn acc_pack(acc: Acc) -> array<vec4<u32>, ACC_WORDS> {
    return array<vec4<u32>, ACC_WORDS>(
        bitcast<vec4<u32>>(vec4<f32>(acc.max, acc.rest, acc.weight, acc.spread)),
        bitcast<vec4<u32>>(vec4<f32>(acc.share, acc.share_spread, acc.label, 0.0)),
        vec4<u32>(acc.column, acc.label_column, 0u, 0u));
}

fn acc_unpack(words: array<vec4<u32>, ACC_WORDS>) -> Acc {
    let a = bitcast<vec4<f32>>(words[0]);
    let b = bitcast<vec4<f32>>(words[1]);
    return Acc(a.x, a.y, a.z, a.w, b.x, b.y, b.z, words[2].x, words[2].y);
}
