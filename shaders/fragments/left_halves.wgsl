// The left factor of a product, two 16-bit elements a u32: rows start anywhere.

@group(0) @binding(1) var<storage, read> left: array<u32>;

// Four elements of a row, 0 where there are none: of two u32s, or of three. No shift is by 32.
fn left_four(row: u32, column: u32, shape: vec2<u32>) -> vec4<f32> {
    let first = params.input_offset + row * params.input_stride + column;
    let at = first / 2u;
    let shift = (first & 1u) * 16u;
    let low = (left[at] >> shift) | ((left[at + 1u] << 1u) << (31u - shift));
    let high = (left[at + 1u] >> shift) | ((left[at + 2u] << 1u) << (31u - shift));
    let four = vec4<f32>(unpack_halves(low), unpack_halves(high));
    return select(vec4<f32>(0.0), four, inside_four(row, column, shape));
}
