// Logits as they are.

fn chain(x: Values) -> Values {
    return x;
}

fn chain_slope(x: Values) -> Values {
    return Values(1.0);
}
