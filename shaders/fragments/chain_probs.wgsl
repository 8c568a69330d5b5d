// z of a probability: its logarithm, bounded below. NaN for what is no probability.

fn chain(x: Values) -> Values {
    let is_probability = (x >= Values(0.0)) & (x <= Values(1.0));
    return select(Values(params.nan), log(max(x, Values(params.clamp))), is_probability);
}

fn chain_slope(x: Values) -> Values {
    return select(Values(0.0), 1.0 / x, x >= Values(params.clamp));
}

// By which a distance between two of them is that of their z.
fn z_scale() -> f32 {
    return 1.0;
}

// What orders inputs by their z, before the bound makes them equal.
fn rank_of(x: Values) -> Values {
    return x;
}
