// A sum of losses in two numbers, the second what rounding takes from the first: no more than the
// elements of a word are added up in f32 alone.

struct Acc { sum: f32, lost: f32 }

const ACC_WORDS: u32 = 1u;

// Words collected in one run.
const SWEEP_RUN: u32 = 1u;

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

// Compilers may take (a + b) - a for b. They cannot know that nothing is changed here.
fn rounded(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) ^ params.zero);
}

// What b lost on its way into the sum, and a, is exact (Knuth's sum of two).
fn acc_combine(a: Acc, b: Acc) -> Acc {
    let sum = rounded(a.sum + b.sum);
    let of_b = rounded(sum - a.sum);
    let lost = (a.sum - (sum - of_b)) + (b.sum - of_b);
    return Acc(sum, (a.lost + b.lost) + lost);
}

fn acc_identity() -> Acc {
    return Acc(0.0, 0.0);
}

fn lane_collapse(acc: LaneAcc) -> Acc {
    let first = component(acc.sum, 0u);
    if (WIDTH == 1u) {
        return Acc(first, 0.0);
    }
    let others = component(acc.sum, 2u) + component(acc.sum, 3u);
    return Acc((first + component(acc.sum, 1u)) + others, 0.0);
}

fn acc_pack(acc: Acc) -> array<vec4<u32>, ACC_WORDS> {
    return array<vec4<u32>, ACC_WORDS>(
        vec4<u32>(bitcast<u32>(acc.sum), bitcast<u32>(acc.lost), 0u, 0u));
}

fn acc_unpack(words: array<vec4<u32>, ACC_WORDS>) -> Acc {
    return Acc(bitcast<f32>(words[0].x), bitcast<f32>(words[0].y));
}
