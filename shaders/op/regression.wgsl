// Losses of regression and of margins, of an element.

// == element_squared
// Squared error. Formula (23) of docs/NUMERICS.md.

fn element_of(x: Values, y: Values, word: u32) -> Element {
    let d = x - y;
    return Element(d * d, 2.0 * d);
}

// == element_absolute
// Absolute error; 0 is the derivative at its kink. Formula (23) of docs/NUMERICS.md.

fn element_of(x: Values, y: Values, word: u32) -> Element {
    return Element(abs(x - y), sign(x - y));
}

// == element_huber
// Huber loss: a parabola up to delta, a line beyond. Formula (23) of docs/NUMERICS.md.

fn element_of(x: Values, y: Values, word: u32) -> Element {
    let d = abs(x - y);
    let outside = params.delta * (d - Values(0.5 * params.delta));
    return Element(
        select(outside, 0.5 * d * d, d <= Values(params.delta)),
        clamp(x - y, Values(-params.delta), Values(params.delta)));
}

// == element_hinge
// Hinge loss of labels -1 and +1; 0 is the derivative at its kink. Formula (23) of
// docs/NUMERICS.md.

fn element_of(x: Values, y: Values, word: u32) -> Element {
    let margin = 1.0 - y * x;
    return Element(
        max(margin, Values(0.0)), select(Values(0.0), -y, margin > Values(0.0)));
}
