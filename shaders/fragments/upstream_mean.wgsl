// The upstream gradient of a mean: shared by all rows or elements, over the batch's total weight.

@group(0) @binding(6) var<uniform> summary: Summary;

fn upstream_at(row: u32) -> f32 {
    let divisor = mean_divisor(summary.total_weight);
    return select(params.upstream / divisor, params.nan, divisor == 0.0);
}

fn upstream_of(at: Starts, word: u32) -> Values {
    return Values(upstream_at(at.row));
}
