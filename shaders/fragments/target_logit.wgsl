// Of a row of logits that are gone, the target's: tile_sweep left it where split rows have their
// coefficients.

fn load_input(row: u32, word: u32) -> Values {
    return Values(bitcast<f32>(scratch[scratch_coef(row)].x));
}
