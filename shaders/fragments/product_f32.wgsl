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
