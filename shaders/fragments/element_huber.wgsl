// Huber loss: a parabola up to delta, a line beyond. Formula (23) of docs/NUMERICS.md.

fn element_loss(x: Values, y: Values, word: u32) -> Values {
    let d = abs(x - y);
    let outside = params.delta * (d - Values(0.5 * params.delta));
    return select(outside, 0.5 * d * d, d <= Values(params.delta));
}

fn element_slope(x: Values, y: Values, word: u32) -> Values {
    return clamp(x - y, Values(-params.delta), Values(params.delta));
}
