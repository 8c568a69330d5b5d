// Results of rows and of a batch, and what is kept on the way to them.

// == stats
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

// == stats_metrics
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

// == stats_lse
// The log-sum-exp of a RowStat, the special rows told apart by their bits.

fn lse_of(acc: Acc) -> f32 {
    let sum = 1.0 + acc.rest;
    let finite_lse = z_scale() * acc.max + log1p(acc.rest);
    let empty = select(finite_lse, -params.infinity, sum == 0.0);
    let infinite = select(empty, params.infinity, is_positive_infinity(acc.max));
    return select(params.nan, infinite, is_finite(acc.rest));
}

// == summary
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

// == summary_write
// The summary, for the kernels that make it.

@group(0) @binding(6) var<storage, read_write> summary: Summary;

// == scratch
// Intermediate results of the split kernels and of the sums over rows.

@group(0) @binding(8) var<storage, read_write> scratch: array<vec4<u32>>;

// Of split rows: two words of Coef for each row, then the pieces of all of them.
fn scratch_coef(row: u32) -> u32 {
    return row * 2u;
}

// == scratch_pieces
// Where the accumulator of a piece of a row stands in scratch.

fn scratch_piece(row: u32, split: u32) -> u32 {
    return params.rows * 2u + (row * params.splits + split) * ACC_WORDS;
}

// == kept
// Rows of a batch by their place among those that are not ignored.

@group(0) @binding(14) var<storage, read> kept: array<u32>;    // the batch's row at each place

// Which row of the window the row at a place is; past its end where it is in another.
fn row_in_window(place: u32) -> u32 {
    return kept[params.first_row + place] - params.window_row;
}
