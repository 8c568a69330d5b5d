// The column formula of log-softmax's backward: dlog_probs - exp(log_probs) * sum(dlog_probs).

fn column(coef: Coef, at: Starts, word: u32, x: Values) -> Values {
    let log_probs = x;
    // Some drivers' exp(NaN) is infinity.
    let is_nan = (bitcast<Columns>(log_probs) & Columns(0x7fffffffu)) > Columns(0x7f800000u);
    let probs = select(exp(log_probs), Values(params.nan), is_nan);
    return load_second(at, word) - probs * coef.sum;
}
