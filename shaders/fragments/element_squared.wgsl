// Squared error. Formula (23) of docs/NUMERICS.md.

fn element_of(x: Values, y: Values, word: u32) -> Element {
    let d = x - y;
    return Element(d * d, 2.0 * d);
}
