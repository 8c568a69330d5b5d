// A lane's part of a tile: a block of four by four elements.

alias Sums = array<mat4x4<f32>, 1>;

// Where its first block starts.
fn first_block(lane: u32, origin: vec2<u32>) -> vec2<u32> {
    return origin + 4u * vec2<u32>(lane / LANES_ACROSS, lane % LANES_ACROSS);
}

fn sums_start(lane: u32, origin: vec2<u32>) -> Sums {
    let first = first_block(lane, origin);
    return Sums(block_start(first.x, first.y));
}

fn sums_push(sums: Sums, lane: u32, step: u32) -> Sums {
    let down = step * ROW_WORDS + lane / LANES_ACROSS;
    let across = step * COLUMN_WORDS + lane % LANES_ACROSS;
    return Sums(block_push(sums[0], left_tile[down], right_tile[across]));
}

fn sums_store(lane: u32, origin: vec2<u32>, sums: Sums) {
    let first = first_block(lane, origin);
    block_store(first.x, first.y, sums[0]);
}
