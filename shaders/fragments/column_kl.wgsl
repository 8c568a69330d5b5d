// The gradient of KL(teacher || student): Q sum(P) - P, formula (19) of docs/NUMERICS.md.

struct Coef {
    teacher_max: f32,
    teacher_norm: f32,
    teacher_miss: f32,      // 1 - P of the teacher's maximum; -1 unless both are sure of theirs
    teacher_total: f32,
    max: f32,
    sum: f32,
    miss: f32,              // 1 - Q of the student's maximum
    upstream: f32,
}

fn column(coef: Coef, at: Starts, word: u32, x: Values) -> Values {
    let z = chain(x);
    let t = teacher(load_second(at, word));
    let log_p = teacher_scale() * (t - Values(coef.teacher_max)) - Values(coef.teacher_norm);
    let p = exp(log_p);
    let q = exp(z_scale() * (z - Values(coef.max))) / coef.sum;
    // Both sure of one class: (1 - P) - (1 - Q) keeps the digits.
    let agree = (t == Values(coef.teacher_max)) & (z == Values(coef.max))
        & (Values(coef.teacher_miss) >= Values(0.0));
    let dz = select(q * coef.teacher_total - p, Values(coef.teacher_miss - coef.miss), agree);
    return coef.upstream * dz * chain_slope(x);
}

fn coef_pack(coef: Coef) -> array<vec4<u32>, 2> {
    return array<vec4<u32>, 2>(
        bitcast<vec4<u32>>(vec4<f32>(
            coef.teacher_max, coef.teacher_norm, coef.teacher_miss, coef.teacher_total)),
        bitcast<vec4<u32>>(vec4<f32>(coef.max, coef.sum, coef.miss, coef.upstream)));
}

fn coef_unpack(a: vec4<u32>, b: vec4<u32>) -> Coef {
    let t = bitcast<vec4<f32>>(a);
    let s = bitcast<vec4<f32>>(b);
    return Coef(t.x, t.y, t.z, t.w, s.x, s.y, s.z, s.w);
}
