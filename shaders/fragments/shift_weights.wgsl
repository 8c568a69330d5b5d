// The column formula's third term, k w_j: what label smoothing takes from every class.

fn column_shift(shift: f32, at: Starts, word: u32) -> Values {
    return shift * class_weights(word);
}
