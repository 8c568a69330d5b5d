// The backwards of softmax and log-softmax: one sum a row.

// == sweep_dot
// What a sweep collects for softmax's backward: sum of probs * dprobs.

fn sweep(acc: LaneAcc, at: Starts, word: u32, x: Values) -> LaneAcc {
    return lane_push(acc, x * load_second(at, word));
}

// == sweep_second
// What a sweep collects for log-softmax's backward: sum of dlog_probs.

fn sweep(acc: LaneAcc, at: Starts, word: u32, x: Values) -> LaneAcc {
    return lane_push(acc, load_second(at, word));
}

// == finish_sum
// The sum is the row's coefficient.

fn row_finish(index: u32, row: Row, acc: Acc) -> Coef {
    return Coef(acc.sum);
}

// == coef_sum
// What the columns of a softmax or log-softmax backward need of their row: one sum.

struct Coef { sum: f32 }

fn coef_pack(coef: Coef) -> array<vec4<u32>, 2> {
    return array<vec4<u32>, 2>(vec4<u32>(bitcast<u32>(coef.sum), 0u, 0u, 0u), vec4<u32>(0u));
}

fn coef_unpack(a: vec4<u32>, b: vec4<u32>) -> Coef {
    return Coef(bitcast<f32>(a.x));
}

// == column_softmax_backward
// The column formula of softmax's backward: probs * (dprobs - sum(probs * dprobs)).

fn column(coef: Coef, at: Starts, word: u32, x: Values) -> Values {
    return x * (load_second(at, word) - Values(coef.sum));
}

// == column_log_softmax_backward
// The column formula of log-softmax's backward: dlog_probs - exp(log_probs) * sum(dlog_probs).

fn column(coef: Coef, at: Starts, word: u32, x: Values) -> Values {
    let log_probs = x;
    // Some drivers' exp(NaN) is infinity.
    let is_nan = (bitcast<Columns>(log_probs) & Columns(0x7fffffffu)) > Columns(0x7f800000u);
    let probs = select(exp(log_probs), Values(params.nan), is_nan);
    return load_second(at, word) - probs * coef.sum;
}
