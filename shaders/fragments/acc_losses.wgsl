// A sum of losses in two numbers, the second what rounding takes from the first: no more than the
// elements of a word are added up in f32 alone.

struct Acc { sum: f32, lost: f32 }

const ACC_WORDS: u32 = 1u;

// Words collected in one run.
const SWEEP_RUN: u32 = 64u;

// The sum of all words but the last, and the last.
struct LaneAcc { total: Acc, last: Values }

fn lane_identity() -> LaneAcc {
    return LaneAcc(acc_identity(), Values(0.0));
}

fn lane_push(acc: LaneAcc, x: Values) -> LaneAcc {
    return LaneAcc(lane_collapse(acc), x);
}

// After a push in the components that the mask has, before it in the others: there is nothing of
// the last word in those.
fn lane_select(before: LaneAcc, after: LaneAcc, mask: Mask) -> LaneAcc {
    return LaneAcc(after.total, select(Values(0.0), after.last, mask));
}

// Compilers may take (a + b) - a for b. They cannot know that nothing is changed here.
fn rounded(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) ^ params.zero);
}

// What the sum has of b, and what a and b lost on their way into it, is exact (Knuth's sum of two).
fn acc_combine(a: Acc, b: Acc) -> Acc {
    let sum = rounded(a.sum + b.sum);
    let of_b = rounded(sum - a.sum);
    let lost = (a.sum - (sum - of_b)) + (b.sum - of_b);
    return Acc(sum, (a.lost + b.lost) + lost);
}

fn acc_identity() -> Acc {
    return Acc(0.0, 0.0);
}

fn word_sum(x: Values) -> f32 {
    if (WIDTH == 1u) {
        return component(x, 0u);
    }
    return (component(x, 0u) + component(x, 1u)) + (component(x, 2u) + component(x, 3u));
}

fn lane_collapse(acc: LaneAcc) -> Acc {
    return acc_combine(acc.total, Acc(word_sum(acc.last), 0.0));
}

fn acc_pack(acc: Acc) -> array<vec4<u32>, ACC_WORDS> {
    return array<vec4<u32>, ACC_WORDS>(
        vec4<u32>(bitcast<u32>(acc.sum), bitcast<u32>(acc.lost), 0u, 0u));
}

fn acc_unpack(words: array<vec4<u32>, ACC_WORDS>) -> Acc {
    return Acc(bitcast<f32>(words[0].x), bitcast<f32>(words[0].y));
}
