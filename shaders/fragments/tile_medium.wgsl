// A tile of 32 x 64 elements by 128 lanes, 4 x 4 each.

const LANES_ACROSS: u32 = 16u;
const LANES_DOWN: u32 = 8u;
const TILE_ROWS: u32 = 32u;
const TILE_COLUMNS: u32 = 64u;
const TILE_DEPTH: u32 = 16u;
