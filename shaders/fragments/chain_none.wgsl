// Logits as they are.

fn chain(x: Values) -> Values {
    return x;
}

fn chain_slope(x: Values) -> Values {
    return Values(1.0);
}

// What orders inputs by their z.
fn rank_of(x: Values) -> Values {
    return x;
}
