// What a batch comes to. Same fields, same order as Summary in src/gpu/params.rs.

struct Summary {
    total_weight: f32,          // what mean divides by
    loss: f32,                  // the reduced loss
    kept_rows: u32,
    bad_row: u32,               // first row whose target is neither a class nor ignored, or NO_ROW
    bad_target: vec2<u32>,      // that target, as the two halves of an i64
    nll: f32,                   // sum of -log p over kept rows, for metrics
    correct: u32,               // rows whose best column is the target's, for metrics
}

const NO_ROW: u32 = 0xffffffffu;

fn mean_divisor(total_weight: f32) -> f32 {
    return select(params.normalizer, total_weight, params.normalizer == 0.0);
}
