// The row transforms that a row's statistic is enough for, and the column formula of cross-entropy.

// == row_plain
// A row that has columns to write and nothing else.

fn row_store(index: u32, row: Row, acc: Acc) {}

// == row_logsumexp
// A row of logsumexp: no target, no loss.

fn row_store(index: u32, row: Row, acc: Acc) {
    store_row(index, 0.0, lse_of(acc), 0.0, SKIPPED);
}

// == finish_exp
// From a row's RowStat to the column formula without a target: softmax with an upstream of 1, and
// logsumexp's backward with the caller's.

const NO_COLUMN: u32 = 0xffffffffu;

fn row_finish(index: u32, row: Row, acc: Acc) -> Coef {
    let sum = 1.0 + acc.rest;
    let undefined = has_no_softmax(acc.max, acc.rest);
    return Coef(
        acc.max,
        select(upstream_at(index) / sum, params.nan, undefined),
        0.0,
        0.0,
        NO_COLUMN,
        0u);
}

// == column_exp
// The column formula of softmax, cross-entropy and logsumexp's backward: formula (8) of
// docs/NUMERICS.md, scale * exp(z - max) - shift * w, with the target's column given whole.

struct Coef {
    max: f32,
    scale: f32,
    shift: f32,
    target_value: f32,      // in the target's column, rounded from a form that keeps its digits
    target_column: u32,     // NO_COLUMN if there is none
    skipped: u32,           // 1: the row is ignored
}

fn column(coef: Coef, at: Starts, word: u32, x: Values) -> Values {
    let exponentials = exp(z_scale() * (chain(x) - Values(coef.max))) * coef.scale;
    let values = exponentials - column_shift(coef.shift, at, word);
    let is_target = columns_of(word) == Columns(coef.target_column);
    return select(values, Values(coef.target_value), is_target) * chain_slope(x);
}

fn coef_pack(coef: Coef) -> array<vec4<u32>, 2> {
    let floats = vec4<f32>(coef.max, coef.scale, coef.shift, coef.target_value);
    return array<vec4<u32>, 2>(
        bitcast<vec4<u32>>(floats), vec4<u32>(coef.target_column, coef.skipped, 0u, 0u));
}

fn coef_unpack(a: vec4<u32>, b: vec4<u32>) -> Coef {
    let floats = bitcast<vec4<f32>>(a);
    return Coef(floats.x, floats.y, floats.z, floats.w, b.x, b.y);
}

// == finish_log_softmax
// From a row's RowStat to log-softmax's column formula.

fn row_finish(index: u32, row: Row, acc: Acc) -> Coef {
    let undefined = has_no_softmax(acc.max, acc.rest);
    return Coef(acc.max, select(log1p(acc.rest), params.nan, undefined));
}

// == column_log_softmax
// The column formula of log-softmax, -((max - x) + log1p(rest)), two terms of one sign; and of the
// surprisal, whose unit is negative here.

struct Coef {
    max: f32,
    log_sum: f32,   // log1p(rest)
}

fn column(coef: Coef, at: Starts, word: u32, x: Values) -> Values {
    return params.unit * ((x - Values(coef.max)) - Values(coef.log_sum));
}

fn coef_pack(coef: Coef) -> array<vec4<u32>, 2> {
    return array<vec4<u32>, 2>(
        vec4<u32>(bitcast<u32>(coef.max), bitcast<u32>(coef.log_sum), 0u, 0u), vec4<u32>(0u));
}

fn coef_unpack(a: vec4<u32>, b: vec4<u32>) -> Coef {
    return Coef(bitcast<f32>(a.x), bitcast<f32>(a.y));
}
