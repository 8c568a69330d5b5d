// The column formula's third term with probability targets: each class's part in the loss.

fn column_shift(shift: f32, at: Starts, word: u32) -> Values {
    return shift * label_part(at, word);
}
