// How focal loss weighs an element or a row: formula (18) of docs/NUMERICS.md.

struct Modulation {
    factor: Values,     // (1 - p)^gamma
    slope: Values,      // (1 - p)^gamma + gamma p (1 - p)^(gamma - 1) nll
}

// miss is 1 - p, formed without cancellation.
fn modulation(p: Values, miss: Values, nll: Values) -> Modulation {
    let plain = Values(params.gamma) == Values(0.0);
    // 0 to any power but 0 is 0, which a logarithm of 0 might not lead to.
    let power = select(pow(miss, Values(params.gamma)), Values(0.0), miss == Values(0.0));
    let factor = select(power, Values(1.0), plain);
    // nll / (1 - p) tends to 1 where p tends to 1.
    let ratio = select(nll / miss, Values(1.0), miss == Values(0.0));
    let pull = params.gamma * p;
    let more = select(pull * ratio, Values(0.0), pull == Values(0.0));
    return Modulation(factor, factor + factor * more);
}
