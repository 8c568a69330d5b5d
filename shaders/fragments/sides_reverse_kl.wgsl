// Scales of acc_pair where x is the student and y the teacher.

fn x_scale() -> f32 {
    return z_scale();
}

fn x_unit() -> f32 {
    return 1.0;
}

fn y_scale() -> f32 {
    return teacher_scale();
}

fn y_unit() -> f32 {
    return teacher_unit();
}
