// A teacher that is logits: over the temperature, like the student.

const TEACHER_IS_NORMALIZED = false;

fn teacher(x: Values) -> Values {
    return x * params.logit_scale;
}

// By which a distance is scaled in an exponential, and before z_scale.
fn teacher_scale() -> f32 {
    return z_scale();
}

fn teacher_unit() -> f32 {
    return 1.0;
}

// What is subtracted from x - max to make it a log-probability.
fn teacher_norm(max: f32, rest: f32) -> f32 {
    return log1p(rest);
}

fn teacher_is_undefined(max: f32, rest: f32) -> bool {
    return has_no_softmax(max, rest);
}
