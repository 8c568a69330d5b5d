// Per-row results: loss and log-sum-exp side by side, so that one binding holds both.

@group(0) @binding(3) var<storage, read_write> stats: array<vec2<f32>>;    // [rows] of (loss, lse)
