// A teacher that is probabilities: NaN for what is none.

const TEACHER_IS_NORMALIZED = true;

fn teacher(x: Values) -> Values {
    let is_probability = (x >= Values(0.0)) & (x <= Values(1.0));
    return select(Values(params.nan), log_of(x), is_probability);
}

// What is subtracted from x - max to make it a log-probability.
fn teacher_norm(max: f32, rest: f32) -> f32 {
    return -max;
}

fn teacher_is_undefined(max: f32, rest: f32) -> bool {
    return !is_finite(rest);
}
