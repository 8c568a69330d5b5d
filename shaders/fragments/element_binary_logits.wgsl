// Binary cross-entropy of a logit: formula (22) of docs/NUMERICS.md.

fn sigmoid(x: Values) -> Values {
    let e = exp(-abs(x));
    return select(Values(1.0), e, x < Values(0.0)) / (1.0 + e);
}

fn element_loss(x: Values, y: Values, word: u32) -> Values {
    return times(1.0 - y, softplus(x)) + times(class_weights(word) * y, softplus(-x));
}

fn element_slope(x: Values, y: Values, word: u32) -> Values {
    return (1.0 - y) * sigmoid(x) - class_weights(word) * y * sigmoid(-x);
}
