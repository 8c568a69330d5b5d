// The left factor of a product, f32, one element at a time: rows start anywhere.

@group(0) @binding(1) var<storage, read> left: array<f32>;

// Four elements of a row, 0 where there are none.
fn left_four(row: u32, column: u32, shape: vec2<u32>) -> vec4<f32> {
    let at = params.input_offset + row * params.input_stride + column;
    let four = vec4<f32>(left[at], left[at + 1u], left[at + 2u], left[at + 3u]);
    return select(vec4<f32>(0.0), four, inside_four(row, column, shape));
}
