// The gradient of KL(student || teacher): Q ((log Q - log P) - KL), formula (19).

struct Coef {
    max: f32,
    sum: f32,
    log_sum: f32,
    teacher_max: f32,
    teacher_norm: f32,
    kl: f32,
    upstream: f32,
}

fn column(coef: Coef, at: Starts, word: u32, x: Values) -> Values {
    let z = chain(x);
    let distance = z_scale() * (z - Values(coef.max));
    let q = exp(distance) / coef.sum;
    let log_q = distance - Values(coef.log_sum);
    let t = teacher(load_second(at, word));
    let log_p = teacher_scale() * (t - Values(coef.teacher_max)) - Values(coef.teacher_norm);
    let dz = select(q * ((log_q - log_p) - Values(coef.kl)), Values(0.0), q == Values(0.0));
    return coef.upstream * dz * chain_slope(x);
}

fn coef_pack(coef: Coef) -> array<vec4<u32>, 2> {
    return array<vec4<u32>, 2>(
        bitcast<vec4<u32>>(vec4<f32>(coef.max, coef.sum, coef.log_sum, coef.teacher_max)),
        bitcast<vec4<u32>>(vec4<f32>(coef.teacher_norm, coef.kl, coef.upstream, 0.0)));
}

fn coef_unpack(a: vec4<u32>, b: vec4<u32>) -> Coef {
    let x = bitcast<vec4<f32>>(a);
    let y = bitcast<vec4<f32>>(b);
    return Coef(x.x, x.y, x.z, x.w, y.x, y.y, y.z);
}
