// Binary losses of an element.

// == softplus
// log(1 + x) for 0 <= x <= 1, softplus and sigmoid, on whole words.

// 2 atanh(x / (2 + x)), |s| <= 1/3: the first term left out is below 2^-26 of the sum.
fn log1p_unit(x: Values) -> Values {
    let s = x / (2.0 + x);
    let z = s * s;
    let tail = z * (0.33333334 + z * (0.2 + z * (0.14285715 + z * (0.11111111
        + z * (0.09090909 + z * 0.07692308)))));
    return 2.0 * s + 2.0 * s * tail;
}

// log(1 + exp(x)), all its digits on both sides.
fn softplus(x: Values) -> Values {
    return log1p_unit(exp(-abs(x))) + max(x, Values(0.0));
}

fn sigmoid(x: Values) -> Values {
    let e = exp(-abs(x));
    return select(Values(1.0), e, x < Values(0.0)) / (1.0 + e);
}

// == log_of
// The logarithm of a probability, that of a subnormal one too. A driver may take a subnormal
// operand for 0, and its log may know none; bits and integers come as they are. -inf for 0, which
// log may take for anything.

fn log_of(p: Values) -> Values {
    let bits = bitcast<Columns>(p) & Columns(0x7fffffffu);
    // n 2^-149 with an integer n.
    let is_subnormal = bits < Columns(0x00800000u);
    let of_normal = log(select(p, Values(bits), is_subnormal));
    let log_p = of_normal - select(Values(0.0), Values(103.27893), is_subnormal);
    return select(log_p, Values(-params.infinity), bits == Columns(0u));
}

// == element_binary_logits
// Binary cross-entropy of a logit: formula (22) of docs/NUMERICS.md.

fn element_of(x: Values, y: Values, word: u32) -> Element {
    let absent = 1.0 - y;
    let present = class_weights(word) * y;
    return Element(
        times(absent, softplus(x)) + times(present, softplus(-x)),
        absent * sigmoid(x) - present * sigmoid(-x));
}

// == element_binary_probs
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

// == element_binary_focal
// Binary focal loss of a logit: formula (18) of docs/NUMERICS.md, for both classes of a sigmoid.

fn element_of(x: Values, y: Values, word: u32) -> Element {
    let p = sigmoid(x);
    let miss = sigmoid(-x);
    let one_nll = softplus(-x);
    let zero_nll = softplus(x);
    let one = modulation(p, miss, one_nll);
    let zero = modulation(miss, p, zero_nll);
    let one_share = params.focal_one * y;
    let zero_share = params.focal_zero * (1.0 - y);
    return Element(
        times(one_share * one.factor, one_nll) + times(zero_share * zero.factor, zero_nll),
        zero_share * zero.slope * p - one_share * one.slope * miss);
}
