// Sums: of a row, and of a batch's rows by blocks.

// == acc_sum
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

// == acc_sum_subgroup
// The sum over the active lanes of a subgroup: every lane gets the result.

fn acc_subgroup(acc: Acc, lane_id: u32) -> Acc {
    return Acc(subgroupAdd(acc.sum));
}

// == acc_losses
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

// == acc_metrics
// What metrics are made of: the sum of -log p, and how many rows are right.

struct Acc { nll: f32, correct: u32 }

fn acc_combine(a: Acc, b: Acc) -> Acc {
    return Acc(a.nll + b.nll, a.correct + b.correct);
}

// == acc_targets
// What a block of targets comes to: its kept rows, its first bad one, and the sum of the targets'
// class weights.

struct Acc { kept: u32, bad: u32, weight: f32 }

fn acc_combine(a: Acc, b: Acc) -> Acc {
    return Acc(a.kept + b.kept, min(a.bad, b.bad), a.weight + b.weight);
}

// == pairwise
// A sum of numbers that come one by one, pairwise: of partial sums over 1, 2, 4, ... of them. A
// number takes part in no more additions than the logarithm of how many there are, rounded up.

var<private> partial_sums: array<f32, 32>;

// The next number, after so many others.
fn pairwise_push(count: u32, x: f32) {
    let full = countTrailingZeros(count + 1u);
    var sum = x;
    for (var i = 0u; i < full; i += 1u) {
        sum = partial_sums[i] + sum;
    }
    partial_sums[full] = sum;
}

// The sum of so many.
fn pairwise_total(count: u32) -> f32 {
    var total = 0.0;
    for (var i = 0u; i < 32u - countLeadingZeros(count); i += 1u) {
        if (((count >> i) & 1u) == 1u) {
            total = partial_sums[i] + total;
        }
    }
    return total;
}

// == reduced_sum
// The reduced loss of a sum.

fn store_reduced(sum: f32) {
    summary.loss = sum;
}

// == reduced_mean
// The reduced loss of a mean: NaN when nothing that weighs was kept.

fn store_reduced(sum: f32) {
    let divisor = mean_divisor(summary.total_weight);
    summary.loss = select(sum / divisor, params.nan, divisor == 0.0);
}

// == reduced_counts
// What a mean divides by, where the rows hold how many of their elements count.

fn store_reduced(sum: f32) {
    summary.total_weight = sum;
}
