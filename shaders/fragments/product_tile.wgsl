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
