// A weight for each class, one at a time.

@group(0) @binding(9) var<storage, read> weights: array<f32>;    // [classes]

fn class_weights(word: u32) -> Values {
    let at = min(columns_of(word), Columns(params.classes - 1u));
    return Values(weights[at.x], weights[at.y], weights[at.z], weights[at.w]);
}

fn class_weight(column: u32) -> f32 {
    return weights[column];
}
