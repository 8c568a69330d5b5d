// The gradient of an elementwise loss, where it is not written in the sweep.

fn column(coef: Coef, at: Starts, word: u32, x: Values) -> Values {
    let gradient = upstream_of(at, word) * element_at(at, word, x).slope;
    return select(Values(0.0), gradient, element_counts(at, word));
}
