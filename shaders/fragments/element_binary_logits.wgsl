// Binary cross-entropy of a logit: formula (22) of docs/NUMERICS.md.

fn element_of(x: Values, y: Values, word: u32) -> Element {
    let absent = 1.0 - y;
    let present = class_weights(word) * y;
    return Element(
        times(absent, softplus(x)) + times(present, softplus(-x)),
        absent * sigmoid(x) - present * sigmoid(-x));
}
