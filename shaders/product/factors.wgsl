// The two factors of a product of matrices.

// == left_f32
// The left factor of a product, f32, one element at a time: rows start anywhere.

@group(0) @binding(1) var<storage, read> left: array<f32>;

// Four elements of a row, 0 where there are none.
fn left_four(row: u32, column: u32, shape: vec2<u32>) -> vec4<f32> {
    let at = params.input_offset + row * params.input_stride + column;
    let four = vec4<f32>(left[at], left[at + 1u], left[at + 2u], left[at + 3u]);
    return select(vec4<f32>(0.0), four, inside_four(row, column, shape));
}

// == left_f32x4
// The left factor of a product, f32, four elements at a time: rows start at multiples of four.

@group(0) @binding(1) var<storage, read> left: array<vec4<f32>>;

// Four elements of a row, 0 where there are none.
fn left_four(row: u32, column: u32, shape: vec2<u32>) -> vec4<f32> {
    let four = left[params.input_offset + row * params.input_stride + column / 4u];
    return select(vec4<f32>(0.0), four, inside_four(row, column, shape));
}

// == left_halves
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

// == left_upright
// The left factor with a row for each row of the product: [rows, depth].

// Which block of the tile is staged i-th: neighbours read neighbours.
fn left_place(i: u32) -> vec2<u32> {
    return vec2<u32>(i / DEPTH_WORDS, i % DEPTH_WORDS);
}

// Four steps of depth from k on, of four rows each.
fn left_block(at: u32, k: u32) -> mat4x4<f32> {
    let shape = vec2<u32>(params.rows, params.depth);
    return transpose(mat4x4<f32>(
        left_four(at, k, shape),
        left_four(at + 1u, k, shape),
        left_four(at + 2u, k, shape),
        left_four(at + 3u, k, shape)));
}

// == left_turned
// The left factor with a column for each row of the product: [depth, rows].

// Which block of the tile is staged i-th: neighbours read neighbours.
fn left_place(i: u32) -> vec2<u32> {
    return vec2<u32>(i % ROW_WORDS, i / ROW_WORDS);
}

// Four steps of depth from k on, of four rows each.
fn left_block(at: u32, k: u32) -> mat4x4<f32> {
    let shape = vec2<u32>(params.depth, params.rows);
    return mat4x4<f32>(
        left_four(k, at, shape),
        left_four(k + 1u, at, shape),
        left_four(k + 2u, at, shape),
        left_four(k + 3u, at, shape));
}

// == right_f32
// The right factor of a product, f32, one element at a time: rows start anywhere.

@group(0) @binding(7) var<storage, read> right: array<f32>;

// Four elements of a row, 0 where there are none.
fn right_four(row: u32, column: u32, shape: vec2<u32>) -> vec4<f32> {
    let at = params.second_offset + row * params.second_stride + column;
    let four = vec4<f32>(right[at], right[at + 1u], right[at + 2u], right[at + 3u]);
    return select(vec4<f32>(0.0), four, inside_four(row, column, shape));
}

// == right_f32x4
// The right factor of a product, f32, four elements at a time: rows start at multiples of four.

@group(0) @binding(7) var<storage, read> right: array<vec4<f32>>;

// Four elements of a row, 0 where there are none.
fn right_four(row: u32, column: u32, shape: vec2<u32>) -> vec4<f32> {
    let four = right[params.second_offset + row * params.second_stride + column / 4u];
    return select(vec4<f32>(0.0), four, inside_four(row, column, shape));
}

// == right_halves
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

// == right_upright
// The right factor with a row for each column of the product: [columns, depth].

// Which block of the tile is staged i-th: neighbours read neighbours.
fn right_place(i: u32) -> vec2<u32> {
    return vec2<u32>(i / DEPTH_WORDS, i % DEPTH_WORDS);
}

// Four steps of depth from k on, of four columns each.
fn right_block(at: u32, k: u32) -> mat4x4<f32> {
    let shape = vec2<u32>(params.columns, params.depth);
    return transpose(mat4x4<f32>(
        right_four(at, k, shape),
        right_four(at + 1u, k, shape),
        right_four(at + 2u, k, shape),
        right_four(at + 3u, k, shape)));
}

// == right_turned
// The right factor with a column for each column of the product: [depth, columns].

// Which block of the tile is staged i-th: neighbours read neighbours.
fn right_place(i: u32) -> vec2<u32> {
    return vec2<u32>(i % COLUMN_WORDS, i / COLUMN_WORDS);
}

// Four steps of depth from k on, of four columns each.
fn right_block(at: u32, k: u32) -> mat4x4<f32> {
    let shape = vec2<u32>(params.depth, params.columns);
    return mat4x4<f32>(
        right_four(k, at, shape),
        right_four(k + 1u, at, shape),
        right_four(k + 2u, at, shape),
        right_four(k + 3u, at, shape));
}
