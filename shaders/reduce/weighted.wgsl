// RowStat with sums of weights beside it.

// == acc_weighted
// RowStat with what label smoothing and probability targets need beside it: the sum of the weights
// w_j that were seen, and the sum of w_j (max - x_j), which moves with the maximum. Formulas (12)
// and (15) of docs/NUMERICS.md. A weight of 0 contributes 0, whatever its logit.

struct Acc { max: f32, rest: f32, weight: f32, spread: f32 }

const ACC_WORDS: u32 = 1u;

// WIDTH independent ones, one for each component of a word.
struct LaneAcc { max: Values, rest: Values, weight: Values, spread: Values }

fn lane_identity() -> LaneAcc {
    return LaneAcc(Values(F32_LOWEST), Values(-1.0), Values(0.0), Values(0.0));
}

fn lane_push(acc: LaneAcc, x: Values, w: Values) -> LaneAcc {
    return LaneAcc(
        max(acc.max, x),
        rest_pushed(acc.max, acc.rest, x, z_scale()),
        acc.weight + w,
        acc.spread + spread_pushed(acc.max, acc.weight, x, w));
}

// After a push in the components that the mask has, before it in the others.
fn lane_select(before: LaneAcc, after: LaneAcc, mask: Mask) -> LaneAcc {
    return LaneAcc(
        select(before.max, after.max, mask),
        select(before.rest, after.rest, mask),
        select(before.weight, after.weight, mask),
        select(before.spread, after.spread, mask));
}

fn acc_combine(a: Acc, b: Acc) -> Acc {
    let top = max(a.max, b.max);
    return Acc(
        top,
        rest_combined(a.max, a.rest, b.max, b.rest, z_scale()),
        a.weight + b.weight,
        (a.spread + spread_moved(a.weight, a.max, top))
            + (b.spread + spread_moved(b.weight, b.max, top)));
}

fn acc_identity() -> Acc {
    return Acc(F32_LOWEST, -1.0, 0.0, 0.0);
}

fn lane_component(acc: LaneAcc, i: u32) -> Acc {
    return Acc(
        component(acc.max, i),
        component(acc.rest, i),
        component(acc.weight, i),
        component(acc.spread, i));
}

fn acc_pack(acc: Acc) -> array<vec4<u32>, ACC_WORDS> {
    return array<vec4<u32>, ACC_WORDS>(
        bitcast<vec4<u32>>(vec4<f32>(acc.max, acc.rest, acc.weight, acc.spread)));
}

fn acc_unpack(words: array<vec4<u32>, ACC_WORDS>) -> Acc {
    let floats = bitcast<vec4<f32>>(words[0]);
    return Acc(floats.x, floats.y, floats.z, floats.w);
}

// == acc_weighted_subgroup
// RowStat with its weights over the active lanes of a subgroup: every lane gets the result.

fn acc_subgroup(acc: Acc, lane_id: u32) -> Acc {
    let top = subgroupMax(acc.max);
    // One lane that holds the maximum keeps its own 1 left out; the others' count.
    let owner = subgroupMin(select(0xffffffffu, lane_id, acc.max == top));
    let e = select(exp(z_scale() * (acc.max - top)), 1.0, acc.max == top);
    let part = select((1.0 + acc.rest) * e, acc.rest, lane_id == owner);
    return Acc(
        top,
        subgroupAdd(part),
        subgroupAdd(acc.weight),
        subgroupAdd(acc.spread + spread_moved(acc.weight, acc.max, top)));
}

// == sweep_smoothed
// What a sweep collects of a row of logits for label smoothing: its RowStat and its weights.

fn sweep(acc: LaneAcc, at: Starts, word: u32, x: Values) -> LaneAcc {
    return lane_push(acc, chain(x), class_weights(word));
}

// == sweep_labels
// What a sweep collects of a row of logits and its probability targets.

fn sweep(acc: LaneAcc, at: Starts, word: u32, x: Values) -> LaneAcc {
    return lane_push(acc, chain(x), label_part(at, word));
}
