// The gradient of an elementwise loss, where it is not written in the sweep.

fn column(coef: Coef, at: Starts, word: u32, x: Values) -> Values {
    return upstream_of(at, word) * element_at(at, word, x).slope;
}
