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
