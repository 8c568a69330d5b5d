// Per-row results with what metrics are made of: the bits of loss, log-sum-exp and -log p of the
// target, and the best column, with its highest bit set if it is the right one.

@group(0) @binding(3) var<storage, read_write> stats: array<vec4<u32>>;    // [rows]

// In place of the best column of a row that is ignored.
const SKIPPED: u32 = 0x7fffffffu;
const CORRECT: u32 = 0x80000000u;

fn store_row(index: u32, loss: f32, lse: f32, nll: f32, best: u32) {
    let result = vec4<u32>(bitcast<vec3<u32>>(vec3<f32>(loss, lse, nll)), best);
    let nothing = vec4<u32>(0u, 0u, 0u, SKIPPED);
    stats[params.stats_offset + index] = select(nothing, result, row_counts(index));
}

fn stored_loss(row: u32) -> f32 {
    return bitcast<f32>(stats[params.stats_offset + row].x);
}
