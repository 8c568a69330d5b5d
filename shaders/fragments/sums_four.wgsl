// A lane's part of a tile: four blocks of four by four elements.

// As they lie; those between them are its neighbours'.
alias Sums = array<mat4x4<f32>, 4>;

// Where its first block starts.
fn first_block(lane: u32, origin: vec2<u32>) -> vec2<u32> {
    return origin + 4u * vec2<u32>(lane / LANES_ACROSS, lane % LANES_ACROSS);
}

fn sums_start(lane: u32, origin: vec2<u32>) -> Sums {
    let first = first_block(lane, origin);
    return Sums(
        block_start(first.x, first.y),
        block_start(first.x, first.y + 4u * LANES_ACROSS),
        block_start(first.x + 4u * LANES_DOWN, first.y),
        block_start(first.x + 4u * LANES_DOWN, first.y + 4u * LANES_ACROSS));
}

fn sums_push(sums: Sums, lane: u32, step: u32) -> Sums {
    let down = step * ROW_WORDS + lane / LANES_ACROSS;
    let across = step * COLUMN_WORDS + lane % LANES_ACROSS;
    let left_0 = left_tile[down];
    let left_1 = left_tile[down + LANES_DOWN];
    let right_0 = right_tile[across];
    let right_1 = right_tile[across + LANES_ACROSS];
    return Sums(
        block_push(sums[0], left_0, right_0),
        block_push(sums[1], left_0, right_1),
        block_push(sums[2], left_1, right_0),
        block_push(sums[3], left_1, right_1));
}

fn sums_store(lane: u32, origin: vec2<u32>, sums: Sums) {
    let first = first_block(lane, origin);
    block_store(first.x, first.y, sums[0]);
    block_store(first.x, first.y + 4u * LANES_ACROSS, sums[1]);
    block_store(first.x + 4u * LANES_DOWN, first.y, sums[2]);
    block_store(first.x + 4u * LANES_DOWN, first.y + 4u * LANES_ACROSS, sums[3]);
}
