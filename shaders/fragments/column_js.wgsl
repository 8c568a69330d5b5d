// The gradient of the Jensen-Shannon divergence: s - Q sum(s), formula (20).

struct Coef {
    sum: f32,
    upstream: f32,
}

fn column(coef: Coef, at: Starts, word: u32, x: Values) -> Values {
    let terms = js_terms(at, word, x);
    let dz = terms.student - terms.q * coef.sum;
    return coef.upstream * dz * chain_slope(x);
}

fn coef_pack(coef: Coef) -> array<vec4<u32>, 2> {
    return array<vec4<u32>, 2>(
        vec4<u32>(bitcast<u32>(coef.sum), bitcast<u32>(coef.upstream), 0u, 0u), vec4<u32>(0u));
}

fn coef_unpack(a: vec4<u32>, b: vec4<u32>) -> Coef {
    return Coef(bitcast<f32>(a.x), bitcast<f32>(a.y));
}
