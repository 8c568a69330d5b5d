// Per-row results with what metrics are made of: loss, log-sum-exp, -log p of the target, and the
// bits of the best column, with the highest set if it is the right one.

@group(0) @binding(3) var<storage, read_write> stats: array<vec4<f32>>;    // [rows]

// In place of the best column of a row that is ignored.
const SKIPPED: u32 = 0x7fffffffu;
const CORRECT: u32 = 0x80000000u;

fn store_row(index: u32, loss: f32, lse: f32, nll: f32, best: u32) {
    stats[params.stats_offset + index] = vec4<f32>(loss, lse, nll, bitcast<f32>(best));
}
