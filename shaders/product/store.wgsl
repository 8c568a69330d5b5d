// Where a product goes, and what it is added to.

// == product_f32
// Where a product goes, one element at a time: rows start anywhere and have any length.

@group(0) @binding(2) var<storage, read_write> output: array<f32>;    // [rows, columns]

fn stored_four(row: u32, column: u32) -> vec4<f32> {
    let at = params.output_offset + row * params.output_stride + column;
    return vec4<f32>(output[at], output[at + 1u], output[at + 2u], output[at + 3u]);
}

fn store_four(row: u32, column: u32, four: vec4<f32>) {
    if (row >= params.rows) {
        return;
    }
    let at = params.output_offset + row * params.output_stride + column;
    for (var i = 0u; i < 4u && column + i < params.columns; i += 1u) {
        output[at + i] = four[i];
    }
}

// == product_f32x4
// Where a product goes, four elements at a time: rows start at multiples of four and have a
// multiple of four columns.

@group(0) @binding(2) var<storage, read_write> output: array<vec4<f32>>;    // [rows, columns]

fn stored_four(row: u32, column: u32) -> vec4<f32> {
    return output[params.output_offset + row * params.output_stride + column / 4u];
}

fn store_four(row: u32, column: u32, four: vec4<f32>) {
    if (row < params.rows && column < params.columns) {
        output[params.output_offset + row * params.output_stride + column / 4u] = four;
    }
}

// == start_zero
// A product from nothing.

fn start_four(row: u32, column: u32) -> vec4<f32> {
    return vec4<f32>(0.0);
}

// == start_bias
// A product on top of a bias for each column.

@group(0) @binding(13) var<storage, read> bias: array<f32>;    // [columns]

fn start_four(row: u32, column: u32) -> vec4<f32> {
    let at = min(vec4<u32>(0u, 1u, 2u, 3u) + column, vec4<u32>(params.columns - 1u))
        + params.bias_offset;
    return vec4<f32>(bias[at.x], bias[at.y], bias[at.z], bias[at.w]);
}

// == start_stored
// A product on top of what is stored where it goes: the sum goes on as if it had not been cut.

fn start_four(row: u32, column: u32) -> vec4<f32> {
    return stored_four(row, column);
}
