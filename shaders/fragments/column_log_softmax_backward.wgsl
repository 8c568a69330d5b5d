// The column formula of log-softmax's backward: dlog_probs - exp(log_probs) * sum(dlog_probs).

fn column(coef: Coef, row: u32, word: u32) -> Values {
    let log_probs = load_input(row, word);
    // Some drivers' exp(NaN) is infinity.
    let is_nan = (bitcast<Columns>(log_probs) & Columns(0x7fffffffu)) > Columns(0x7f800000u);
    let probs = select(exp(log_probs), Values(params.nan), is_nan);
    return load_second(row, word) - probs * coef.sum;
}
