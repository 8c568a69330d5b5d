// A teacher that is probabilities: NaN for what is none.

const TEACHER_IS_NORMALIZED = true;

fn teacher(x: Values) -> Values {
    let is_probability = (x >= Values(0.0)) & (x <= Values(1.0));
    return select(Values(params.nan), log_of(x), is_probability);
}

// By which a distance is scaled in an exponential, and before z_scale.
fn teacher_scale() -> f32 {
    return 1.0;
}

fn teacher_unit() -> f32 {
    return 1.0 / z_scale();
}

// What is subtracted from x - max to make it a log-probability.
fn teacher_norm(max: f32, rest: f32) -> f32 {
    return -max;
}

fn teacher_is_undefined(max: f32, rest: f32) -> bool {
    return !is_finite(rest);
}
