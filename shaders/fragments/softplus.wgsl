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
