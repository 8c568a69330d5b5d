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
