// The entropy and its backward.

// == sides_entropy
// Scales of acc_pair where nothing is scaled.

fn x_scale() -> f32 {
    return 1.0;
}

fn x_unit() -> f32 {
    return 1.0;
}

fn y_scale() -> f32 {
    return 1.0;
}

fn y_unit() -> f32 {
    return 1.0;
}

// == sweep_entropy
// What a sweep collects for the entropy: it is minus the divergence from log-probabilities of 0.

fn sweep(acc: LaneAcc, at: Starts, word: u32, x: Values) -> LaneAcc {
    return lane_push(acc, x, Values(0.0));
}

// == row_entropy
// A row's entropy, beside its log-sum-exp: formula (21) of docs/NUMERICS.md.

// Two terms of one sign.
fn entropy(acc: Acc) -> f32 {
    return log1p(acc.rest) - 2.0 * (acc.half_sum / (1.0 + acc.rest));
}

fn row_store(index: u32, row: Row, acc: Acc) {
    let undefined = student_is_undefined(acc.max, acc.rest);
    let value = select(params.unit * entropy(acc), params.nan, undefined);
    store_row(index, value, student_lse(acc.max, acc.rest), 0.0, SKIPPED);
}

// == finish_entropy
// What the columns of the entropy's backward need of their row.

fn row_finish(index: u32, row: Row, acc: Acc) -> Coef {
    let undefined = student_is_undefined(acc.max, acc.rest);
    return Coef(
        acc.max,
        1.0 + acc.rest,
        log1p(acc.rest),
        entropy(acc),
        select(upstream_at(index), params.nan, undefined));
}

// == column_entropy
// The column formula of the entropy's backward: p (nll - entropy), formula (21).

struct Coef {
    max: f32,
    sum: f32,
    log_sum: f32,
    entropy: f32,
    upstream: f32,
}

fn column(coef: Coef, at: Starts, word: u32, x: Values) -> Values {
    let distance = Values(coef.max) - x;
    let p = exp(-distance) / coef.sum;
    let dx = p * ((distance + Values(coef.log_sum)) - Values(coef.entropy));
    return coef.upstream * select(dx, Values(0.0), p == Values(0.0));
}

fn coef_pack(coef: Coef) -> array<vec4<u32>, 2> {
    return array<vec4<u32>, 2>(
        bitcast<vec4<u32>>(vec4<f32>(coef.max, coef.sum, coef.log_sum, coef.entropy)),
        vec4<u32>(bitcast<u32>(coef.upstream), 0u, 0u, 0u));
}

fn coef_unpack(a: vec4<u32>, b: vec4<u32>) -> Coef {
    let floats = bitcast<vec4<f32>>(a);
    return Coef(floats.x, floats.y, floats.z, floats.w, bitcast<f32>(b.x));
}
