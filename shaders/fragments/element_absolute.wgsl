// Absolute error; 0 is the derivative at its kink. Formula (23) of docs/NUMERICS.md.

fn element_loss(x: Values, y: Values, word: u32) -> Values {
    return abs(x - y);
}

fn element_slope(x: Values, y: Values, word: u32) -> Values {
    return sign(x - y);
}
