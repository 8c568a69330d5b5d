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
