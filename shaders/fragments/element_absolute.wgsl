// Absolute error; 0 is the derivative at its kink. Formula (23) of docs/NUMERICS.md.

fn element_of(x: Values, y: Values, word: u32) -> Element {
    return Element(abs(x - y), sign(x - y));
}
