// The right factor of a product, two 16-bit elements a u32: rows start anywhere.

@group(0) @binding(7) var<storage, read> right: array<u32>;

// Four elements of a row, 0 where there are none: of two u32s, or of three. No shift is by 32.
fn right_four(row: u32, column: u32, shape: vec2<u32>) -> vec4<f32> {
    let first = params.second_offset + row * params.second_stride + column;
    let at = first / 2u;
    let shift = (first & 1u) * 16u;
    let low = (right[at] >> shift) | ((right[at + 1u] << 1u) << (31u - shift));
    let high = (right[at + 1u] >> shift) | ((right[at + 2u] << 1u) << (31u - shift));
    let four = vec4<f32>(unpack_halves(low), unpack_halves(high));
    return select(vec4<f32>(0.0), four, inside_four(row, column, shape));
}
