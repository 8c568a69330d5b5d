// The column formula of the entropy's backward: p (nll - entropy), formula (21).

struct Coef {
    max: f32,
    sum: f32,
    log_sum: f32,
    entropy: f32,
    upstream: f32,
}

fn column(coef: Coef, at: Starts, word: u32, x: Values) -> Values {
    let distance = Values(coef.max) - x;
    let p = exp(-distance) / coef.sum;
    let dx = p * ((distance + Values(coef.log_sum)) - Values(coef.entropy));
    return coef.upstream * select(dx, Values(0.0), p == Values(0.0));
}

fn coef_pack(coef: Coef) -> array<vec4<u32>, 2> {
    return array<vec4<u32>, 2>(
        bitcast<vec4<u32>>(vec4<f32>(coef.max, coef.sum, coef.log_sum, coef.entropy)),
        vec4<u32>(bitcast<u32>(coef.upstream), 0u, 0u, 0u));
}

fn coef_unpack(a: vec4<u32>, b: vec4<u32>) -> Coef {
    let floats = bitcast<vec4<f32>>(a);
    return Coef(floats.x, floats.y, floats.z, floats.w, bitcast<f32>(b.x));
}
