// A tile of a product.

// == tile_slim
// A tile of 32 x 64 elements by 32 lanes, 8 x 8 each: for software drivers, and for few lanes.

const LANES_ACROSS: u32 = 8u;
const LANES_DOWN: u32 = 4u;
const TILE_ROWS: u32 = 32u;
const TILE_COLUMNS: u32 = 64u;
const TILE_DEPTH: u32 = 16u;

// == tile_medium
// A tile of 32 x 64 elements by 128 lanes, 4 x 4 each.

const LANES_ACROSS: u32 = 16u;
const LANES_DOWN: u32 = 8u;
const TILE_ROWS: u32 = 32u;
const TILE_COLUMNS: u32 = 64u;
const TILE_DEPTH: u32 = 16u;

// == tile_large
// A tile of 128 x 128 elements by 256 lanes, 8 x 8 each.

const LANES_ACROSS: u32 = 16u;
const LANES_DOWN: u32 = 16u;
const TILE_ROWS: u32 = 128u;
const TILE_COLUMNS: u32 = 128u;
const TILE_DEPTH: u32 = 16u;

// == sums_one
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

// == sums_four
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

// == product_tile
// A tile of a product, by one workgroup: blocks of both factors go through workgroup memory, a lane
// sums its own elements in registers, step by step of the depth, from the first to the last. An
// element's bits therefore depend neither on the tiles nor on where the depth is cut.

const ROW_WORDS: u32 = TILE_ROWS / 4u;
const COLUMN_WORDS: u32 = TILE_COLUMNS / 4u;
const DEPTH_WORDS: u32 = TILE_DEPTH / 4u;

var<workgroup> left_tile: array<vec4<f32>, TILE_DEPTH * ROW_WORDS>;         // [depth][rows]
var<workgroup> right_tile: array<vec4<f32>, TILE_DEPTH * COLUMN_WORDS>;     // [depth][columns]

// Which of four elements of a row there are.
fn inside_four(row: u32, column: u32, shape: vec2<u32>) -> vec4<bool> {
    let columns = vec4<u32>(0u, 1u, 2u, 3u) + column;
    return (columns < vec4<u32>(shape.y)) & vec4<bool>(row < shape.x);
}

fn stage(lane: u32, origin: vec2<u32>, k: u32) {
    for (var i = lane; i < DEPTH_WORDS * ROW_WORDS; i += WG_SIZE) {
        let place = left_place(i);
        let block = left_block(origin.x + 4u * place.x, k + 4u * place.y);
        let at = 4u * place.y * ROW_WORDS + place.x;
        left_tile[at] = block[0];
        left_tile[at + ROW_WORDS] = block[1];
        left_tile[at + 2u * ROW_WORDS] = block[2];
        left_tile[at + 3u * ROW_WORDS] = block[3];
    }
    for (var i = lane; i < DEPTH_WORDS * COLUMN_WORDS; i += WG_SIZE) {
        let place = right_place(i);
        let block = right_block(origin.y + 4u * place.x, k + 4u * place.y);
        let at = 4u * place.y * COLUMN_WORDS + place.x;
        right_tile[at] = block[0];
        right_tile[at + COLUMN_WORDS] = block[1];
        right_tile[at + 2u * COLUMN_WORDS] = block[2];
        right_tile[at + 3u * COLUMN_WORDS] = block[3];
    }
}

// Four by four sums, a row of them each, with one more step of the depth.
fn block_push(sums: mat4x4<f32>, left: vec4<f32>, right: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(
        fma(vec4<f32>(left.x), right, sums[0]),
        fma(vec4<f32>(left.y), right, sums[1]),
        fma(vec4<f32>(left.z), right, sums[2]),
        fma(vec4<f32>(left.w), right, sums[3]));
}

fn block_start(row: u32, column: u32) -> mat4x4<f32> {
    return mat4x4<f32>(
        start_four(row, column),
        start_four(row + 1u, column),
        start_four(row + 2u, column),
        start_four(row + 3u, column));
}

fn tile_product(lane: u32, origin: vec2<u32>) -> Sums {
    var sums = sums_start(lane, origin);
    for (var k = 0u; k < params.depth; k += TILE_DEPTH) {
        stage(lane, origin, k);
        // Other lanes staged what is read below.
        workgroupBarrier();
        for (var step = 0u; step < TILE_DEPTH; step += 1u) {
            sums = sums_push(sums, lane, step);
        }
        // All lanes have read what the next turn overwrites.
        workgroupBarrier();
    }
    return sums;
}
