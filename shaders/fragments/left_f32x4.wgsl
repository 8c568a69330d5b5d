// The left factor of a product, f32, four elements at a time: rows start at multiples of four.

@group(0) @binding(1) var<storage, read> left: array<vec4<f32>>;

// Four elements of a row, 0 where there are none.
fn left_four(row: u32, column: u32, shape: vec2<u32>) -> vec4<f32> {
    let four = left[params.input_offset + row * params.input_stride + column / 4u];
    return select(vec4<f32>(0.0), four, inside_four(row, column, shape));
}
