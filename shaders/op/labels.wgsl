// Cross-entropy with probability targets, and the gradient of these.

// == label_part
// With probability targets: what each class has of the loss, w_j ((1 - e) q_j + e / C). Formula
// (15) of docs/NUMERICS.md.

fn label_part(at: Starts, word: u32) -> Values {
    let q = load_second(at, word);
    return class_weights(word) * (params.smooth_target * q + Values(params.smooth_class));
}

// == row_labels
// A row of cross-entropy with probability targets, and its loss: formulas (15) and (17).

const NO_COLUMN: u32 = 0xffffffffu;

// A NaN among the labels is the whole row's, and so is a +inf among log-probabilities.
fn row_is_undefined(acc: Acc) -> bool {
    return stat_is_undefined(acc) || !is_finite(acc.weight) || is_positive_infinity(acc.max);
}

fn row_store(index: u32, row: Row, acc: Acc) {
    let lse = row_lse(acc);
    let z_loss = select(params.z_loss * lse * lse, 0.0, params.z_loss == 0.0);
    let loss = params.unit * (nll_sum(acc, acc.spread, acc.weight) + z_loss);
    let undefined = row_is_undefined(acc);
    store_row(
        index,
        select(loss, params.nan, undefined),
        lse,
        select(labels_nll(acc), params.nan, undefined),
        best_of(acc, labels_column(acc)));
}

// == finish_labels
// From a row's RowStat and the sum of its labels to the columns: formula (16) of docs/NUMERICS.md.

fn row_finish(index: u32, row: Row, acc: Acc) -> Coef {
    let undefined = row_is_undefined(acc);
    return Coef(
        acc.max,
        1.0 + acc.rest,
        acc.rest,
        acc.weight,
        select(lse_times(acc, 2.0 * params.z_loss), 0.0, params.z_loss == 0.0),
        select(upstream_at(index), params.nan, undefined));
}

// == finish_labels_normalized
// Normalised input with probability targets: every column has its part, formula (17).

fn row_finish(index: u32, row: Row, acc: Acc) -> Coef {
    let base = select(0.0, params.nan, row_is_undefined(acc));
    return Coef(base, upstream_at(index), 0.0, NO_COLUMN, 0u);
}

// == column_labels
// The column formula with probability targets: formula (16) of docs/NUMERICS.md, A p - a, in a form
// in which nothing cancels where one class has all there is of the target.

struct Coef {
    max: f32,
    sum: f32,
    rest: f32,
    total: f32,     // A: the sum of the parts a
    more: f32,      // 2 z_loss lse
    upstream: f32,
}

fn column(coef: Coef, at: Starts, word: u32, x: Values) -> Values {
    let z = chain(x);
    let part = label_part(at, word);
    let p = exp(z_scale() * (z - Values(coef.max))) / coef.sum;
    let p_minus_1 = select(p - 1.0, Values(-coef.rest / coef.sum), z == Values(coef.max));
    let dz = (Values(coef.total) - part) * p + part * p_minus_1 + coef.more * p;
    return coef.upstream * dz * chain_slope(x);
}

fn coef_pack(coef: Coef) -> array<vec4<u32>, 2> {
    return array<vec4<u32>, 2>(
        bitcast<vec4<u32>>(vec4<f32>(coef.max, coef.sum, coef.rest, coef.total)),
        bitcast<vec4<u32>>(vec4<f32>(coef.more, coef.upstream, 0.0, 0.0)));
}

fn coef_unpack(a: vec4<u32>, b: vec4<u32>) -> Coef {
    let first = bitcast<vec4<f32>>(a);
    let second = bitcast<vec4<f32>>(b);
    return Coef(first.x, first.y, first.z, first.w, second.x, second.y);
}

// == shift_labels
// The column formula's third term with probability targets: each class's part in the loss.

fn column_shift(shift: f32, at: Starts, word: u32) -> Values {
    return shift * label_part(at, word);
}

// == finish_target_gradient
// What the gradient of probability targets needs of a row of logits: formula (16).

fn row_finish(index: u32, row: Row, acc: Acc) -> Coef {
    let undefined = stat_is_undefined(acc);
    let upstream = select(upstream_at(index), params.nan, undefined);
    return Coef(stat_max(acc), stat_log_sum(acc), upstream);
}

// == column_target_gradient
// The gradient of probability targets: upstream (1 - e) w_j nll_j. Formula (16) of
// docs/NUMERICS.md.

struct Coef {
    max: f32,
    log_sum: f32,
    upstream: f32,
}

fn column(coef: Coef, at: Starts, word: u32, x: Values) -> Values {
    let part = params.smooth_target * class_weights(word);
    let nll = z_scale() * (Values(coef.max) - chain(x)) + coef.log_sum;
    return coef.upstream * select(part * nll, Values(0.0), part == Values(0.0));
}

fn coef_pack(coef: Coef) -> array<vec4<u32>, 2> {
    return array<vec4<u32>, 2>(
        bitcast<vec4<u32>>(vec4<f32>(coef.max, coef.log_sum, coef.upstream, 0.0)),
        vec4<u32>(0u));
}

fn coef_unpack(a: vec4<u32>, b: vec4<u32>) -> Coef {
    let floats = bitcast<vec4<f32>>(a);
    return Coef(floats.x, floats.y, floats.z);
}
