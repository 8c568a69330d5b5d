// A weight for each class.

@group(0) @binding(9) var<storage, read> weights: array<Values>;    // [classes]

fn class_weights(word: u32) -> Values {
    return weights[word];
}

fn class_weight(column: u32) -> f32 {
    return component(weights[column / WIDTH], column % WIDTH);
}
