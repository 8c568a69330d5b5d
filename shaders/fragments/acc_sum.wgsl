// A plain sum.

struct Acc { sum: f32 }

const ACC_WORDS: u32 = 1u;

// Words collected in one run before they join the lane's total: the rounding errors of a long row
// grow with the number of runs, not with the number of words.
const SWEEP_RUN: u32 = 64u;

// WIDTH independent sums, one for each component of a word.
struct LaneAcc { sum: Values }

fn lane_identity() -> LaneAcc {
    return LaneAcc(Values(0.0));
}

fn lane_push(acc: LaneAcc, x: Values) -> LaneAcc {
    return LaneAcc(acc.sum + x);
}

// After a push in the components that the mask has, before it in the others.
fn lane_select(before: LaneAcc, after: LaneAcc, mask: Mask) -> LaneAcc {
    return LaneAcc(
        select(before.sum, after.sum, mask));
}

fn acc_combine(a: Acc, b: Acc) -> Acc {
    return Acc(a.sum + b.sum);
}

fn acc_identity() -> Acc {
    return Acc(0.0);
}

fn lane_collapse(acc: LaneAcc) -> Acc {
    var total = component(acc.sum, 0u);
    for (var i = 1u; i < WIDTH; i += 1u) {
        total += component(acc.sum, i);
    }
    return Acc(total);
}

fn acc_pack(acc: Acc) -> array<vec4<u32>, ACC_WORDS> {
    return array<vec4<u32>, ACC_WORDS>(vec4<u32>(bitcast<u32>(acc.sum), 0u, 0u, 0u));
}

fn acc_unpack(words: array<vec4<u32>, ACC_WORDS>) -> Acc {
    return Acc(bitcast<f32>(words[0].x));
}
