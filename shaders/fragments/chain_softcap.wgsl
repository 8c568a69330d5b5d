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
