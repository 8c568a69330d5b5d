// Every class weighs 1.

fn class_weight(column: u32) -> f32 {
    return 1.0;
}
