// Squared error. Formula (23) of docs/NUMERICS.md.

fn element_loss(x: Values, y: Values, word: u32) -> Values {
    let d = x - y;
    return d * d;
}

fn element_slope(x: Values, y: Values, word: u32) -> Values {
    return 2.0 * (x - y);
}
