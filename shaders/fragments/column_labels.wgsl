// The column formula with probability targets: formula (16) of docs/NUMERICS.md, A p - a, in a form
// in which nothing cancels where one class has all there is of the target.

struct Coef {
    max: f32,
    sum: f32,
    rest: f32,
    total: f32,     // A: the sum of the parts a
    more: f32,      // 2 z_loss lse
    upstream: f32,
}

fn column(coef: Coef, at: Starts, word: u32, x: Values) -> Values {
    let z = chain(x);
    let part = label_part(at, word);
    let p = exp(z_scale() * (z - Values(coef.max))) / coef.sum;
    let p_minus_1 = select(p - 1.0, Values(-coef.rest / coef.sum), z == Values(coef.max));
    let dz = (Values(coef.total) - part) * p + part * p_minus_1 + coef.more * p;
    return coef.upstream * dz * chain_slope(x);
}

fn coef_pack(coef: Coef) -> array<vec4<u32>, 2> {
    return array<vec4<u32>, 2>(
        bitcast<vec4<u32>>(vec4<f32>(coef.max, coef.sum, coef.rest, coef.total)),
        bitcast<vec4<u32>>(vec4<f32>(coef.more, coef.upstream, 0.0, 0.0)));
}

fn coef_unpack(a: vec4<u32>, b: vec4<u32>) -> Coef {
    let first = bitcast<vec4<f32>>(a);
    let second = bitcast<vec4<f32>>(b);
    return Coef(first.x, first.y, first.z, first.w, second.x, second.y);
}
