// Binary focal loss of a logit: formula (18) of docs/NUMERICS.md, for both classes of a sigmoid.

fn sigmoid(x: Values) -> Values {
    let e = exp(-abs(x));
    return select(Values(1.0), e, x < Values(0.0)) / (1.0 + e);
}

fn element_loss(x: Values, y: Values, word: u32) -> Values {
    let one = modulation(sigmoid(x), sigmoid(-x), softplus(-x));
    let zero = modulation(sigmoid(-x), sigmoid(x), softplus(x));
    return times(params.focal_one * y * one.factor, softplus(-x))
        + times(params.focal_zero * (1.0 - y) * zero.factor, softplus(x));
}

fn element_slope(x: Values, y: Values, word: u32) -> Values {
    let one = modulation(sigmoid(x), sigmoid(-x), softplus(-x));
    let zero = modulation(sigmoid(-x), sigmoid(x), softplus(x));
    return params.focal_zero * (1.0 - y) * zero.slope * sigmoid(x)
        - params.focal_one * y * one.slope * sigmoid(-x);
}
