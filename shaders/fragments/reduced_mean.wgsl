// The reduced loss of a mean: NaN when nothing that weighs was kept.

fn store_reduced(sum: f32) {
    let divisor = mean_divisor(summary.total_weight);
    summary.loss = select(sum / divisor, params.nan, divisor == 0.0);
}
