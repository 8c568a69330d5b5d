// Two plain sums side by side.

struct Acc { both: f32, student: f32 }

const ACC_WORDS: u32 = 1u;

// Words collected in one run before they join the lane's total: the rounding errors of a long row
// grow with the number of runs, not with the number of words.
const SWEEP_RUN: u32 = 64u;

// WIDTH independent ones, one for each component of a word.
struct LaneAcc { both: Values, student: Values }

fn lane_identity() -> LaneAcc {
    return LaneAcc(Values(0.0), Values(0.0));
}

// After a push in the components that the mask has, before it in the others.
fn lane_select(before: LaneAcc, after: LaneAcc, mask: Mask) -> LaneAcc {
    return LaneAcc(
        select(before.both, after.both, mask),
        select(before.student, after.student, mask));
}

fn acc_combine(a: Acc, b: Acc) -> Acc {
    return Acc(a.both + b.both, a.student + b.student);
}

fn acc_identity() -> Acc {
    return Acc(0.0, 0.0);
}

fn lane_collapse(acc: LaneAcc) -> Acc {
    var total = acc_identity();
    for (var i = 0u; i < WIDTH; i += 1u) {
        total = acc_combine(total, Acc(component(acc.both, i), component(acc.student, i)));
    }
    return total;
}

fn acc_pack(acc: Acc) -> array<vec4<u32>, ACC_WORDS> {
    return array<vec4<u32>, ACC_WORDS>(
        vec4<u32>(bitcast<u32>(acc.both), bitcast<u32>(acc.student), 0u, 0u));
}

fn acc_unpack(words: array<vec4<u32>, ACC_WORDS>) -> Acc {
    return Acc(bitcast<f32>(words[0].x), bitcast<f32>(words[0].y));
}
