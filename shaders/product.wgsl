// A product of two matrices: one workgroup a tile of it.

fn block_store(row: u32, column: u32, sums: mat4x4<f32>) {
    store_four(row, column, sums[0]);
    store_four(row + 1u, column, sums[1]);
    store_four(row + 2u, column, sums[2]);
    store_four(row + 3u, column, sums[3]);
}

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let down = (params.rows + TILE_ROWS - 1u) / TILE_ROWS;
    let across = (params.columns + TILE_COLUMNS - 1u) / TILE_COLUMNS;
    let tile = flat_index(group);
    if (tile >= down * across) {
        return;
    }
    let origin = vec2<u32>(tile % down * TILE_ROWS, tile / down * TILE_COLUMNS);
    sums_store(lane, origin, tile_product(lane, origin));
}
