// RowStat with the best column beside it.

// == acc_argmax
// RowStat with its weights, as acc_weighted has them, and the first column with the highest rank:
// the largest input, told apart before scale, softcap and clamp make inputs equal.

struct Acc { max: f32, rest: f32, weight: f32, spread: f32, rank: f32, column: u32 }

const ACC_WORDS: u32 = 2u;

// WIDTH independent ones, one for each component of a word.
struct LaneAcc {
    max: Values,
    rest: Values,
    weight: Values,
    spread: Values,
    rank: Values,
    column: Columns,
}

// In place of a column where nothing but -inf and NaN was seen.
const NOT_SEEN: u32 = 0xffffffffu;

fn lane_identity() -> LaneAcc {
    let lowest = Values(F32_LOWEST);
    let zero = Values(0.0);
    return LaneAcc(lowest, Values(-1.0), zero, zero, lowest, Columns(NOT_SEEN));
}

// A lane sees its columns in rising order: the first of equals stays. NaN never leads; the maximum
// of a number and NaN is one or the other, as the driver likes.
fn lane_push(acc: LaneAcc, x: Values, w: Values, rank: Values, columns: Columns) -> LaneAcc {
    let leads = (rank > acc.rank) | ((rank == acc.rank) & (acc.column == Columns(NOT_SEEN)));
    return LaneAcc(
        max(acc.max, x),
        rest_pushed(acc.max, acc.rest, x, z_scale()),
        acc.weight + w,
        acc.spread + spread_pushed(acc.max, acc.weight, x, w),
        select(acc.rank, rank, leads),
        select(acc.column, columns, leads));
}

// After a push in the components that the mask has, before it in the others.
fn lane_select(before: LaneAcc, after: LaneAcc, mask: Mask) -> LaneAcc {
    return LaneAcc(
        select(before.max, after.max, mask),
        select(before.rest, after.rest, mask),
        select(before.weight, after.weight, mask),
        select(before.spread, after.spread, mask),
        select(before.rank, after.rank, mask),
        select(before.column, after.column, mask));
}

fn acc_combine(a: Acc, b: Acc) -> Acc {
    let top = max(a.max, b.max);
    return Acc(
        top,
        rest_combined(a.max, a.rest, b.max, b.rest, z_scale()),
        a.weight + b.weight,
        (a.spread + spread_moved(a.weight, a.max, top))
            + (b.spread + spread_moved(b.weight, b.max, top)),
        max(a.rank, b.rank),
        first_column(a.rank, a.column, b.rank, b.column));
}

fn acc_identity() -> Acc {
    return Acc(F32_LOWEST, -1.0, 0.0, 0.0, F32_LOWEST, NOT_SEEN);
}

fn lane_component(acc: LaneAcc, i: u32) -> Acc {
    return Acc(
        component(acc.max, i),
        component(acc.rest, i),
        component(acc.weight, i),
        component(acc.spread, i),
        component(acc.rank, i),
        column_component(acc.column, i));
}

fn acc_pack(acc: Acc) -> array<vec4<u32>, ACC_WORDS> {
    return array<vec4<u32>, ACC_WORDS>(
        bitcast<vec4<u32>>(vec4<f32>(acc.max, acc.rest, acc.weight, acc.spread)),
        vec4<u32>(bitcast<u32>(acc.rank), acc.column, 0u, 0u));
}

fn acc_unpack(words: array<vec4<u32>, ACC_WORDS>) -> Acc {
    let floats = bitcast<vec4<f32>>(words[0]);
    return Acc(floats.x, floats.y, floats.z, floats.w, bitcast<f32>(words[1].x), words[1].y);
}

// == sweep_argmax
// What a sweep collects of a row of logits for metrics: its RowStat and its best column.

fn sweep(acc: LaneAcc, at: Starts, word: u32, x: Values) -> LaneAcc {
    return lane_push(acc, chain(x), Values(0.0), rank_of(x), columns_of(word));
}

// == sweep_smoothed_argmax
// What a sweep collects of a row of logits for label smoothing and metrics.

fn sweep(acc: LaneAcc, at: Starts, word: u32, x: Values) -> LaneAcc {
    return lane_push(acc, chain(x), class_weights(word), rank_of(x), columns_of(word));
}

// == acc_labels
// What acc_argmax has, and what probability targets need besides for their metrics: the sums of the
// bare labels q_j and of q_j (max - x_j), and the largest label with its first column.

struct Acc {
    max: f32,
    rest: f32,
    weight: f32,
    spread: f32,
    share: f32,             // sum of q_j
    share_spread: f32,      // sum of q_j (max - x_j)
    rank: f32,
    label: f32,
    column: u32,
    label_column: u32,
}

const ACC_WORDS: u32 = 3u;

// WIDTH independent ones, one for each component of a word.
struct LaneAcc {
    max: Values,
    rest: Values,
    weight: Values,
    spread: Values,
    share: Values,
    share_spread: Values,
    rank: Values,
    label: Values,
    column: Columns,
    label_column: Columns,
}

// In place of a column where nothing but -inf and NaN was seen.
const NOT_SEEN: u32 = 0xffffffffu;

fn lane_identity() -> LaneAcc {
    let zero = Values(0.0);
    let lowest = Values(F32_LOWEST);
    let none = Columns(NOT_SEEN);
    return LaneAcc(lowest, Values(-1.0), zero, zero, zero, zero, lowest, lowest, none, none);
}

// A lane sees its columns in rising order: the first of equals stays, and NaN never leads.
fn lane_push(
    acc: LaneAcc,
    x: Values,
    w: Values,
    q: Values,
    rank: Values,
    columns: Columns,
) -> LaneAcc {
    let leads = (rank > acc.rank) | ((rank == acc.rank) & (acc.column == Columns(NOT_SEEN)));
    let is_label = (q > acc.label) | ((q == acc.label) & (acc.label_column == Columns(NOT_SEEN)));
    return LaneAcc(
        max(acc.max, x),
        rest_pushed(acc.max, acc.rest, x, z_scale()),
        acc.weight + w,
        acc.spread + spread_pushed(acc.max, acc.weight, x, w),
        acc.share + q,
        acc.share_spread + spread_pushed(acc.max, acc.share, x, q),
        select(acc.rank, rank, leads),
        select(acc.label, q, is_label),
        select(acc.column, columns, leads),
        select(acc.label_column, columns, is_label));
}

// After a push in the components that the mask has, before it in the others.
fn lane_select(before: LaneAcc, after: LaneAcc, mask: Mask) -> LaneAcc {
    return LaneAcc(
        select(before.max, after.max, mask),
        select(before.rest, after.rest, mask),
        select(before.weight, after.weight, mask),
        select(before.spread, after.spread, mask),
        select(before.share, after.share, mask),
        select(before.share_spread, after.share_spread, mask),
        select(before.rank, after.rank, mask),
        select(before.label, after.label, mask),
        select(before.column, after.column, mask),
        select(before.label_column, after.label_column, mask));
}

fn acc_combine(a: Acc, b: Acc) -> Acc {
    let top = max(a.max, b.max);
    return Acc(
        top,
        rest_combined(a.max, a.rest, b.max, b.rest, z_scale()),
        a.weight + b.weight,
        (a.spread + spread_moved(a.weight, a.max, top))
            + (b.spread + spread_moved(b.weight, b.max, top)),
        a.share + b.share,
        (a.share_spread + spread_moved(a.share, a.max, top))
            + (b.share_spread + spread_moved(b.share, b.max, top)),
        max(a.rank, b.rank),
        max(a.label, b.label),
        first_column(a.rank, a.column, b.rank, b.column),
        first_column(a.label, a.label_column, b.label, b.label_column));
}

fn acc_identity() -> Acc {
    return Acc(
        F32_LOWEST, -1.0, 0.0, 0.0, 0.0, 0.0, F32_LOWEST, F32_LOWEST, NOT_SEEN, NOT_SEEN);
}

fn lane_component(acc: LaneAcc, i: u32) -> Acc {
    return Acc(
        component(acc.max, i),
        component(acc.rest, i),
        component(acc.weight, i),
        component(acc.spread, i),
        component(acc.share, i),
        component(acc.share_spread, i),
        component(acc.rank, i),
        component(acc.label, i),
        column_component(acc.column, i),
        column_component(acc.label_column, i));
}

fn acc_pack(acc: Acc) -> array<vec4<u32>, ACC_WORDS> {
    return array<vec4<u32>, ACC_WORDS>(
        bitcast<vec4<u32>>(vec4<f32>(acc.max, acc.rest, acc.weight, acc.spread)),
        bitcast<vec4<u32>>(vec4<f32>(acc.share, acc.share_spread, acc.rank, acc.label)),
        vec4<u32>(acc.column, acc.label_column, 0u, 0u));
}

fn acc_unpack(words: array<vec4<u32>, ACC_WORDS>) -> Acc {
    let a = bitcast<vec4<f32>>(words[0]);
    let b = bitcast<vec4<f32>>(words[1]);
    return Acc(a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w, words[2].x, words[2].y);
}

// == sweep_labels_argmax
// What a sweep collects of a row of logits and its probability targets, for metrics too.

fn sweep(acc: LaneAcc, at: Starts, word: u32, x: Values) -> LaneAcc {
    let q = load_second(at, word);
    return lane_push(acc, chain(x), label_part(at, word), q, rank_of(x), columns_of(word));
}
