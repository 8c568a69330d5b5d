// Of a row of logits that are gone, the target's: tile_sweep left it where split rows have their
// coefficients.

fn load_input(at: Starts, word: u32) -> Values {
    return Values(bitcast<f32>(scratch[scratch_coef(at.row)].x));
}
