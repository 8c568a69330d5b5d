// Weights of classes, and of elements.

// == weights_none
// Every class weighs 1.

fn class_weights(word: u32) -> Values {
    return Values(1.0);
}

fn class_weight(column: u32) -> f32 {
    return 1.0;
}

// == weights_alike
// One weight for all classes.

fn class_weights(word: u32) -> Values {
    return Values(params.weight);
}

fn class_weight(column: u32) -> f32 {
    return params.weight;
}

// == weights_buffer
// A weight for each class.

@group(0) @binding(9) var<storage, read> weights: array<Values>;    // [classes]

fn class_weights(word: u32) -> Values {
    return weights[word];
}

fn class_weight(column: u32) -> f32 {
    return component(weights[column / WIDTH], column % WIDTH);
}

// == weights_ragged
// A weight for each class, one at a time.

@group(0) @binding(9) var<storage, read> weights: array<f32>;    // [classes]

fn class_weights(word: u32) -> Values {
    let at = min(columns_of(word), Columns(params.classes - 1u));
    return Values(weights[at.x], weights[at.y], weights[at.z], weights[at.w]);
}

fn class_weight(column: u32) -> f32 {
    return weights[column];
}

// == factors_none
// Every element weighs 1.

fn element_factor(at: Starts, word: u32) -> Values {
    return Values(1.0);
}

// == factors_buffer
// A weight for each element.

@group(0) @binding(10) var<storage, read> factors: array<Word>;    // [rows, columns]

fn element_factor(at: Starts, word: u32) -> Values {
    return unpack(factors[at.factors + word]);
}

// == factors_ragged
// A weight for each element.

@group(0) @binding(10) var<storage, read> factors: array<u32>;    // [rows, columns], two each

fn element_factor(at: Starts, word: u32) -> Values {
    let pairs = places(at.factors, word);
    return aligned(at.factors, word, factors[pairs.x], factors[pairs.y], factors[pairs.z]);
}
