// Scales of acc_pair where nothing is scaled.

fn x_scale() -> f32 {
    return 1.0;
}

fn x_unit() -> f32 {
    return 1.0;
}

fn y_scale() -> f32 {
    return 1.0;
}

fn y_unit() -> f32 {
    return 1.0;
}
