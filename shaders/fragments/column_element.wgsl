// The gradient of an elementwise loss, where it is not written in the sweep.

fn column(coef: Coef, row: u32, word: u32) -> Values {
    return upstream_of(row, word) * element_at(row, word).slope;
}
