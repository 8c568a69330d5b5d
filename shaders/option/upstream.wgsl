// The gradient from above.

// == upstream_scalar
// One upstream gradient for all rows.

fn upstream_at(row: u32) -> f32 {
    return params.upstream;
}

fn upstream_of(at: Starts, word: u32) -> Values {
    return Values(params.upstream);
}

// == upstream_mean
// The upstream gradient of a mean: shared by all rows or elements, over the batch's total weight.

@group(0) @binding(6) var<uniform> summary: Summary;

fn upstream_at(row: u32) -> f32 {
    let divisor = mean_divisor(summary.total_weight);
    return select(params.upstream / divisor, params.nan, divisor == 0.0);
}

fn upstream_of(at: Starts, word: u32) -> Values {
    return Values(upstream_at(at.row));
}

// == upstream_rows
// An upstream gradient for each row.

@group(0) @binding(5) var<storage, read> dloss: array<f32>;    // [rows]

fn upstream_at(row: u32) -> f32 {
    return params.unit * dloss[params.dloss_offset + row];
}

// == upstream_elements
// An upstream gradient for each element: f32, like the losses that it is of.

@group(0) @binding(5) var<storage, read> dloss: array<Values>;    // [rows, columns]

fn upstream_of(at: Starts, word: u32) -> Values {
    return params.unit * dloss[at.dloss + word];
}

// == upstream_elements_ragged
// An upstream gradient for each element, one at a time: f32, like the losses that it is of.

@group(0) @binding(5) var<storage, read> dloss: array<f32>;    // [rows, columns]

fn upstream_of(at: Starts, word: u32) -> Values {
    let places = min(columns_of(word), Columns(params.classes - 1u)) + at.dloss;
    return params.unit
        * Values(dloss[places.x], dloss[places.y], dloss[places.z], dloss[places.w]);
}
