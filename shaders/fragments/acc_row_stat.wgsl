// RowStat, the value that every row reduction here is made of: the maximum, and the sum of
// exp(x - max) over all elements but one instance of the maximum itself. Formulas (1) to (3) of
// docs/NUMERICS.md. Leaving the maximum's own 1 out keeps the digits of a confident row. A NaN ends
// up in rest: as NaN, or as infinity where a driver's exp(NaN) is that; no sound row makes either.

struct Acc { max: f32, rest: f32 }

const ACC_WORDS: u32 = 1u;

// WIDTH independent RowStats, one for each component of a word.
struct LaneAcc { max: Values, rest: Values }

fn lane_identity() -> LaneAcc {
    return LaneAcc(Values(F32_LOWEST), Values(-1.0));
}

// One exp an element, no branch. The select keeps a second +inf from making inf - inf.
fn lane_push(acc: LaneAcc, x: Values) -> LaneAcc {
    let e = select(exp(-abs(x - acc.max)), Values(1.0), x == acc.max);
    return LaneAcc(max(acc.max, x), select(acc.rest + e, e + acc.rest * e, x > acc.max));
}

fn acc_combine(a: Acc, b: Acc) -> Acc {
    let a_wins = a.max >= b.max;
    let top = select(b.max, a.max, a_wins);
    let low = select(a.max, b.max, a_wins);
    let top_rest = select(b.rest, a.rest, a_wins);
    let low_sum = 1.0 + select(a.rest, b.rest, a_wins);
    let e = select(exp(low - top), 1.0, low == top);
    return Acc(top, top_rest + low_sum * e);
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
