// Hinge loss of labels -1 and +1; 0 is the derivative at its kink. Formula (23) of
// docs/NUMERICS.md.

fn element_loss(x: Values, y: Values, word: u32) -> Values {
    return max(1.0 - y * x, Values(0.0));
}

fn element_slope(x: Values, y: Values, word: u32) -> Values {
    return select(Values(0.0), -y, 1.0 - y * x > Values(0.0));
}
