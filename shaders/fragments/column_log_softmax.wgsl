// The column formula of log-softmax, -((max - x) + log1p(rest)), two terms of one sign; and of the
// surprisal, whose unit is negative here.

struct Coef {
    max: f32,
    log_sum: f32,   // log1p(rest)
}

fn column(coef: Coef, at: Starts, word: u32, x: Values) -> Values {
    return params.unit * ((x - Values(coef.max)) - Values(coef.log_sum));
}

fn coef_pack(coef: Coef) -> array<vec4<u32>, 2> {
    return array<vec4<u32>, 2>(
        vec4<u32>(bitcast<u32>(coef.max), bitcast<u32>(coef.log_sum), 0u, 0u), vec4<u32>(0u));
}

fn coef_unpack(a: vec4<u32>, b: vec4<u32>) -> Coef {
    return Coef(bitcast<f32>(a.x), bitcast<f32>(a.y));
}
