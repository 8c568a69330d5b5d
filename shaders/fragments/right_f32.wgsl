// The right factor of a product, f32, one element at a time: rows start anywhere.

@group(0) @binding(7) var<storage, read> right: array<f32>;

// Four elements of a row, 0 where there are none.
fn right_four(row: u32, column: u32, shape: vec2<u32>) -> vec4<f32> {
    let at = params.second_offset + row * params.second_stride + column;
    let four = vec4<f32>(right[at], right[at + 1u], right[at + 2u], right[at + 3u]);
    return select(vec4<f32>(0.0), four, inside_four(row, column, shape));
}
