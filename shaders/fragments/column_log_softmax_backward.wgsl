// The column formula of log-softmax's backward: dlog_probs - exp(log_probs) * sum(dlog_probs).

fn column(coef: Coef, row: u32, word: u32) -> Values {
    return load_second(row, word) - exp(load_input(row, word)) * coef.sum;
}
