// The gradient of probability targets: upstream (1 - e) w_j nll_j. Formula (16) of
// docs/NUMERICS.md.

struct Coef {
    max: f32,
    log_sum: f32,
    upstream: f32,
}

fn column(coef: Coef, at: Starts, word: u32, x: Values) -> Values {
    let part = params.smooth_target * class_weights(word);
    let nll = z_scale() * (Values(coef.max) - chain(x)) + coef.log_sum;
    return coef.upstream * select(part * nll, Values(0.0), part == Values(0.0));
}

fn coef_pack(coef: Coef) -> array<vec4<u32>, 2> {
    return array<vec4<u32>, 2>(
        bitcast<vec4<u32>>(vec4<f32>(coef.max, coef.log_sum, coef.upstream, 0.0)),
        vec4<u32>(0u));
}

fn coef_unpack(a: vec4<u32>, b: vec4<u32>) -> Coef {
    let floats = bitcast<vec4<f32>>(a);
    return Coef(floats.x, floats.y, floats.z);
}
