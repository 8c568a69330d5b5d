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
