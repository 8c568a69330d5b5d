// Hinge loss of labels -1 and +1; 0 is the derivative at its kink. Formula (23) of
// docs/NUMERICS.md.

fn element_of(x: Values, y: Values, word: u32) -> Element {
    let margin = 1.0 - y * x;
    return Element(
        max(margin, Values(0.0)), select(Values(0.0), -y, margin > Values(0.0)));
}
