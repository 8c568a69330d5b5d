// Huber loss: a parabola up to delta, a line beyond. Formula (23) of docs/NUMERICS.md.

fn element_of(x: Values, y: Values, word: u32) -> Element {
    let d = abs(x - y);
    let outside = params.delta * (d - Values(0.5 * params.delta));
    return Element(
        select(outside, 0.5 * d * d, d <= Values(params.delta)),
        clamp(x - y, Values(-params.delta), Values(params.delta)));
}
