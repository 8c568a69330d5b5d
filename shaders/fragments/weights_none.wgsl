// Every class weighs 1.

fn class_weights(word: u32) -> Values {
    return Values(1.0);
}

fn class_weight(column: u32) -> f32 {
    return 1.0;
}
