// The column formula of softmax, cross-entropy and logsumexp's backward: formula (8) of
// docs/NUMERICS.md, scale * exp(z - max) - shift * w, with the target's column given whole.

struct Coef {
    max: f32,
    scale: f32,
    shift: f32,
    target_value: f32,      // in the target's column, rounded from a form that keeps its digits
    target_column: u32,     // NO_COLUMN if there is none
    skipped: u32,           // 1: the row is ignored
}

fn column(coef: Coef, at: Starts, word: u32, x: Values) -> Values {
    let exponentials = exp(z_scale() * (chain(x) - Values(coef.max))) * coef.scale;
    let values = exponentials - column_shift(coef.shift, at, word);
    let is_target = columns_of(word) == Columns(coef.target_column);
    return select(values, Values(coef.target_value), is_target) * chain_slope(x);
}

fn coef_pack(coef: Coef) -> array<vec4<u32>, 2> {
    let floats = vec4<f32>(coef.max, coef.scale, coef.shift, coef.target_value);
    return array<vec4<u32>, 2>(
        bitcast<vec4<u32>>(floats), vec4<u32>(coef.target_column, coef.skipped, 0u, 0u));
}

fn coef_unpack(a: vec4<u32>, b: vec4<u32>) -> Coef {
    let floats = bitcast<vec4<f32>>(a);
    return Coef(floats.x, floats.y, floats.z, floats.w, b.x, b.y);
}
