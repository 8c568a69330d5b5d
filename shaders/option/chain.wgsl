// What makes z of the input, and whether a softmax normalises it.

// == chain_none
// Logits as they are.

fn chain(x: Values) -> Values {
    return x;
}

fn chain_slope(x: Values) -> Values {
    return Values(1.0);
}

// By which a distance between two of them is that of their z.
fn z_scale() -> f32 {
    return 1.0;
}

// What orders inputs by their z.
fn rank_of(x: Values) -> Values {
    return x;
}

// == chain_softcap
// What happens to logits before the softmax: z = logit_scale x, then z = softcap tanh(z / softcap)
// where there is a softcap. Formula (11) of docs/NUMERICS.md. A scale above 1 may overflow: then
// logit_scale is its sign, and z_scale, which scales distances, its size.

// (1 - e) / (1 + e) with e = exp(-2 |y|) cancels near 0; there a series takes over.
fn tanh_of(y: Values) -> Values {
    let e = exp(-2.0 * abs(y));
    let far = sign(y) * ((1.0 - e) / (1.0 + e));
    let s = y * y;
    // Seven terms of y's power series: below 2^-27 relative for |y| < 0.4.
    let tail = s * (-0.33333334 + s * (0.13333334 + s * (-0.053968254 + s * (0.021869488
        + s * (-0.0088632355 + s * 0.0035921280)))));
    return select(far, y + y * tail, abs(y) < Values(0.4));
}

fn chain(x: Values) -> Values {
    let z = x * params.logit_scale;
    if (params.softcap == 0.0) {
        return z;
    }
    return params.softcap * tanh_of(z / params.softcap);
}

// dz / dx: 1 - tanh^2 = 4 e / (1 + e)^2, which keeps its digits where tanh is nearly 1.
fn chain_slope(x: Values) -> Values {
    if (params.softcap == 0.0) {
        return Values(params.logit_scale * params.z_scale);
    }
    let e = exp(-2.0 * abs(x * params.logit_scale / params.softcap));
    return params.logit_scale * (4.0 * e / ((1.0 + e) * (1.0 + e)));
}

// By which a distance between two of chain's results is that of their z.
fn z_scale() -> f32 {
    return params.z_scale;
}

// What orders inputs by their z, before the softcap makes them equal.
fn rank_of(x: Values) -> Values {
    return x * sign(params.logit_scale);
}

// == chain_probs
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

// == form_logits
// Input that a softmax normalises: what makes a z into -log p is the row's statistic.

fn stat_is_undefined(acc: Acc) -> bool {
    return has_no_softmax(acc.max, acc.rest);
}

fn row_lse(acc: Acc) -> f32 {
    return lse_of(acc);
}

// factor lse, finite where it is, though lse be not: its maximum alone is as large as that.
fn lse_times(acc: Acc, factor: f32) -> f32 {
    let lse = lse_of(acc);
    return select(factor * z_scale() * acc.max, factor * lse, is_finite(lse));
}

fn stat_max(acc: Acc) -> f32 {
    return acc.max;
}

fn stat_log_sum(acc: Acc) -> f32 {
    return log1p(acc.rest);
}

// Formula (5): two terms of one sign.
fn nll_of(acc: Acc, z: f32) -> f32 {
    return z_scale() * (stat_max(acc) - z) + stat_log_sum(acc);
}

// sum_j w_j nll_j from the sums of w_j (max - z_j) and of w_j.
fn nll_sum(acc: Acc, spread: f32, weight: f32) -> f32 {
    return z_scale() * spread + weight * log1p(acc.rest);
}

// == form_normalized
// Input that is normalised already, z a log-probability: formula (17) of docs/NUMERICS.md.

fn stat_is_undefined(acc: Acc) -> bool {
    return false;
}

fn row_lse(acc: Acc) -> f32 {
    return 0.0;
}

fn lse_times(acc: Acc, factor: f32) -> f32 {
    return 0.0;
}

fn stat_max(acc: Acc) -> f32 {
    return 0.0;
}

fn stat_log_sum(acc: Acc) -> f32 {
    return 0.0;
}

fn nll_of(acc: Acc, z: f32) -> f32 {
    return -z;
}

// sum_j w_j nll_j from the sums of w_j (max - z_j) and of w_j: two terms of one sign, because the
// logarithm of a probability is not positive.
fn nll_sum(acc: Acc, spread: f32, weight: f32) -> f32 {
    return spread - weight * acc.max;
}
