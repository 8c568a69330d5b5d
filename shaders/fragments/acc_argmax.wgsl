// RowStat with its weights, as acc_weighted has them, and the first column that holds the maximum.

struct Acc { max: f32, rest: f32, weight: f32, spread: f32, column: u32 }

const ACC_WORDS: u32 = 2u;

// WIDTH independent ones, one for each component of a word.
struct LaneAcc { max: Values, rest: Values, weight: Values, spread: Values, column: Columns }

const NOT_SEEN: u32 = 0xffffffffu;

fn lane_identity() -> LaneAcc {
    return LaneAcc(
        Values(F32_LOWEST), Values(-1.0), Values(0.0), Values(0.0), Columns(NOT_SEEN));
}

// A lane sees its columns in rising order: the first of equals stays.
fn lane_push(acc: LaneAcc, x: Values, w: Values, columns: Columns) -> LaneAcc {
    let e = select(exp(-abs(x - acc.max)), Values(1.0), x == acc.max);
    let rises = x > acc.max;
    let moved = select(w, acc.weight, rises);
    let is_zero = (x == acc.max) | (moved == Values(0.0));
    let distance = select(abs(x - acc.max), Values(0.0), is_zero);
    let first = rises | ((x == acc.max) & (acc.column == Columns(NOT_SEEN)));
    return LaneAcc(
        max(acc.max, x),
        select(acc.rest + e, e + acc.rest * e, rises),
        acc.weight + w,
        acc.spread + moved * distance,
        select(acc.column, columns, first));
}

fn acc_combine(a: Acc, b: Acc) -> Acc {
    let a_wins = a.max >= b.max;
    let top = select(b.max, a.max, a_wins);
    let low = select(a.max, b.max, a_wins);
    let top_rest = select(b.rest, a.rest, a_wins);
    let low_sum = 1.0 + select(a.rest, b.rest, a_wins);
    let low_weight = select(a.weight, b.weight, a_wins);
    let e = select(exp(low - top), 1.0, low == top);
    let distance = select(top - low, 0.0, low == top || low_weight == 0.0);
    let column = select(select(b.column, a.column, a_wins), min(a.column, b.column), low == top);
    return Acc(
        top,
        top_rest + low_sum * e,
        a.weight + b.weight,
        a.spread + b.spread + low_weight * distance,
        column);
}

fn acc_identity() -> Acc {
    return Acc(F32_LOWEST, -1.0, 0.0, 0.0, NOT_SEEN);
}

fn lane_component(acc: LaneAcc, i: u32) -> Acc {
    return Acc(
        component(acc.max, i),
        component(acc.rest, i),
        component(acc.weight, i),
        component(acc.spread, i),
        column_component(acc.column, i));
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
        vec4<u32>(acc.column, 0u, 0u, 0u));
}

fn acc_unpack(words: array<vec4<u32>, ACC_WORDS>) -> Acc {
    let floats = bitcast<vec4<f32>>(words[0]);
    return Acc(floats.x, floats.y, floats.z, floats.w, words[1].x);
}
