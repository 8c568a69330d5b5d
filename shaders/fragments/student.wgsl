// A student is always logits.

fn student_is_undefined(max: f32, rest: f32) -> bool {
    return has_no_softmax(max, rest);
}

fn student_lse(max: f32, rest: f32) -> f32 {
    let lse = z_scale() * max + log1p(rest);
    let infinite = select(lse, params.infinity, is_positive_infinity(max));
    let empty = select(infinite, -params.infinity, 1.0 + rest == 0.0);
    return select(params.nan, empty, is_finite(rest));
}
