// RowStat, the value that every row reduction here is made of; see rest.wgsl.

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
