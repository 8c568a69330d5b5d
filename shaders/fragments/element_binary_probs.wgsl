// Binary cross-entropy of a probability, with PyTorch's clamps: formula (22) of docs/NUMERICS.md.

// log p, not below -100: from the nearer end, because drivers' logarithms are coarse near 1.
fn clamped_log(p: Values, miss: Values) -> Values {
    return max(select(log_of(p), -log1p_unit(miss / p), p > Values(0.5)), Values(-100.0));
}

fn element_of(x: Values, y: Values, word: u32) -> Element {
    let is_probability = (x >= Values(0.0)) & (x <= Values(1.0));
    let miss = 1.0 - x;
    // Where x is small 1 - x has lost it: log(1 - x) = -log1p(x / (1 - x)) has not.
    let loss = -(times(y, clamped_log(x, miss)) + times(1.0 - y, clamped_log(miss, x)));
    let slope = (x - y) / max(x * miss, Values(1e-12));
    let nan = Values(params.nan);
    return Element(select(nan, loss, is_probability), select(nan, slope, is_probability));
}
