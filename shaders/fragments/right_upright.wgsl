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
