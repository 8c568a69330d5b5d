// Scales of acc_pair where x is the teacher and y the student.

fn x_scale() -> f32 {
    return teacher_scale();
}

fn x_unit() -> f32 {
    return teacher_unit();
}

fn y_scale() -> f32 {
    return z_scale();
}

fn y_unit() -> f32 {
    return 1.0;
}
