// The column formula of input that is normalised already: -a, where a is what the loss has of each
// column, through the derivative of z. Formula (17) of docs/NUMERICS.md.

struct Coef {
    base: f32,              // 0, or NaN for a whole row without a loss
    shift: f32,
    target_value: f32,      // in the target's column
    target_column: u32,     // NO_COLUMN if there is none
    skipped: u32,           // 1: the row is ignored
}

fn column(coef: Coef, at: Starts, word: u32, x: Values) -> Values {
    let all = Values(coef.base) - column_shift(coef.shift, at, word);
    let is_target = columns_of(word) == Columns(coef.target_column);
    let dz = select(all, Values(coef.target_value), is_target);
    return dz * chain_slope(x);
}

fn coef_pack(coef: Coef) -> array<vec4<u32>, 2> {
    let floats = bitcast<vec3<u32>>(vec3<f32>(coef.base, coef.shift, coef.target_value));
    return array<vec4<u32>, 2>(
        vec4<u32>(floats, coef.target_column), vec4<u32>(coef.skipped, 0u, 0u, 0u));
}

fn coef_unpack(a: vec4<u32>, b: vec4<u32>) -> Coef {
    return Coef(bitcast<f32>(a.x), bitcast<f32>(a.y), bitcast<f32>(a.z), a.w, b.x);
}
