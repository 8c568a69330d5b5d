// Two RowStats over the same columns.

// == acc_pair
// Two RowStats over the same columns, of x and of y, and what couples them: the sum of
// exp(x - max x) ((x - max x) - (y - max y)), which moves with both maxima. Divergences and the
// entropy are made of it: formula (19) of docs/NUMERICS.md. The sum is kept in halves, and its
// distances before z_scale, so that no difference of finite numbers overflows. x_scale and y_scale
// are the scales of exponentials, x_unit and y_unit those of distances before z_scale.

struct Acc { max: f32, rest: f32, other_max: f32, other_rest: f32, half_sum: f32 }

const ACC_WORDS: u32 = 2u;

// WIDTH independent ones, one for each component of a word.
struct LaneAcc {
    max: Values,
    rest: Values,
    other_max: Values,
    other_rest: Values,
    half_sum: Values,
}

fn lane_identity() -> LaneAcc {
    let lowest = Values(F32_LOWEST);
    return LaneAcc(lowest, Values(-1.0), lowest, Values(-1.0), Values(0.0));
}

// The terms of sum, whose exponentials shrink by e, seen from maxima that are moved by 2 half_move.
fn lane_moved(half_sum: Values, sum: Values, half_move: Values, e: Values) -> Values {
    let moved = select(e * (half_sum + sum * half_move), Values(0.0), e == Values(0.0));
    // Infinite once, infinite for good.
    return select(moved, half_sum, bitcast<Columns>(half_sum) == Columns(0x7f800000u));
}

fn lane_push(acc: LaneAcc, x: Values, y: Values) -> LaneAcc {
    let top = max(acc.max, x);
    let other_top = max(acc.other_max, y);
    let d = select(exp(-x_scale() * abs(x - acc.max)), Values(1.0), x == acc.max);
    let rises = x > acc.max;
    let half_move = x_unit() * (0.5 * acc.max - 0.5 * top)
        - y_unit() * (0.5 * acc.other_max - 0.5 * other_top);
    let before =
        lane_moved(acc.half_sum, 1.0 + acc.rest, half_move, select(Values(1.0), d, rises));
    let e = select(d, Values(1.0), rises);
    let half_term = x_unit() * (0.5 * x - 0.5 * top) - y_unit() * (0.5 * y - 0.5 * other_top);
    let term = e * half_term;
    // What has no probability contributes nothing; what has some, and none on the other side, all.
    let has_none = bitcast<Columns>(x) == Columns(0xff800000u);
    let is_infinite = (bitcast<Columns>(y) == Columns(0xff800000u)) & !has_none;
    let own = select(term, Values(0.0), has_none | (e == Values(0.0)));
    return LaneAcc(
        top,
        select(acc.rest + d, d + acc.rest * d, rises),
        other_top,
        rest_pushed(acc.other_max, acc.other_rest, y, y_scale()),
        before + select(own, Values(params.infinity), is_infinite));
}

// After a push in the components that the mask has, before it in the others.
fn lane_select(before: LaneAcc, after: LaneAcc, mask: Mask) -> LaneAcc {
    return LaneAcc(
        select(before.max, after.max, mask),
        select(before.rest, after.rest, mask),
        select(before.other_max, after.other_max, mask),
        select(before.other_rest, after.other_rest, mask),
        select(before.half_sum, after.half_sum, mask));
}

fn acc_moved(half_sum: f32, sum: f32, half_move: f32, e: f32) -> f32 {
    let moved = select(e * (half_sum + sum * half_move), 0.0, e == 0.0);
    return select(moved, half_sum, is_positive_infinity(half_sum));
}

// exp(max - top), and how far the maxima of one part are below those of the whole.
fn acc_below(part: Acc, top: f32, other_top: f32) -> vec2<f32> {
    let e = select(exp(x_scale() * (part.max - top)), 1.0, part.max == top);
    let half_move = x_unit() * (0.5 * part.max - 0.5 * top)
        - y_unit() * (0.5 * part.other_max - 0.5 * other_top);
    return vec2<f32>(e, half_move);
}

fn acc_combine(a: Acc, b: Acc) -> Acc {
    let top = max(a.max, b.max);
    let other_top = max(a.other_max, b.other_max);
    let a_below = acc_below(a, top, other_top);
    let b_below = acc_below(b, top, other_top);
    return Acc(
        top,
        rest_combined(a.max, a.rest, b.max, b.rest, x_scale()),
        other_top,
        rest_combined(a.other_max, a.other_rest, b.other_max, b.other_rest, y_scale()),
        acc_moved(a.half_sum, 1.0 + a.rest, a_below.y, a_below.x)
            + acc_moved(b.half_sum, 1.0 + b.rest, b_below.y, b_below.x));
}

fn acc_identity() -> Acc {
    return Acc(F32_LOWEST, -1.0, F32_LOWEST, -1.0, 0.0);
}

fn lane_component(acc: LaneAcc, i: u32) -> Acc {
    return Acc(
        component(acc.max, i),
        component(acc.rest, i),
        component(acc.other_max, i),
        component(acc.other_rest, i),
        component(acc.half_sum, i));
}

fn acc_pack(acc: Acc) -> array<vec4<u32>, ACC_WORDS> {
    return array<vec4<u32>, ACC_WORDS>(
        bitcast<vec4<u32>>(vec4<f32>(acc.max, acc.rest, acc.other_max, acc.other_rest)),
        vec4<u32>(bitcast<u32>(acc.half_sum), 0u, 0u, 0u));
}

fn acc_unpack(words: array<vec4<u32>, ACC_WORDS>) -> Acc {
    let floats = bitcast<vec4<f32>>(words[0]);
    return Acc(floats.x, floats.y, floats.z, floats.w, bitcast<f32>(words[1].x));
}
