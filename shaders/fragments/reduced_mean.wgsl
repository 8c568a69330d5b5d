// The reduced loss of a mean: NaN when nothing that weighs was kept.

fn reduced(sum: f32) -> f32 {
    let divisor = mean_divisor(summary.total_weight);
    return select(sum / divisor, params.nan, divisor == 0.0);
}
