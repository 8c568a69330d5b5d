// The column formula of softmax's backward: probs * (dprobs - sum(probs * dprobs)).

fn column(coef: Coef, at: Starts, word: u32, x: Values) -> Values {
    return x * (load_second(at, word) - Values(coef.sum));
}
