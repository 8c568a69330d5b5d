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
