// The reduced loss of a mean: NaN when nothing was kept.

fn reduced(sum: f32) -> f32 {
    return select(sum / summary.total_weight, params.nan, summary.total_weight == 0.0);
}
