// The column formula of softmax's backward: probs * (dprobs - sum(probs * dprobs)).

fn column(coef: Coef, row: u32, word: u32) -> Values {
    return load_input(row, word) * (load_second(row, word) - Values(coef.sum));
}
