// Per-row results: loss and log-sum-exp side by side, so that one binding holds both.

@group(0) @binding(3) var<storage, read_write> stats: array<vec2<f32>>;    // [rows] of (loss, lse)

const SKIPPED: u32 = 0x7fffffffu;

fn store_row(index: u32, loss: f32, lse: f32, nll: f32, best: u32) {
    stats[params.stats_offset + index] =
        select(vec2<f32>(0.0), vec2<f32>(loss, lse), row_counts(index));
}

fn stored_loss(row: u32) -> f32 {
    return stats[params.stats_offset + row].x;
}
