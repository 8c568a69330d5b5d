// A tile of 128 x 128 elements by 256 lanes, 8 x 8 each.

const LANES_ACROSS: u32 = 16u;
const LANES_DOWN: u32 = 16u;
const TILE_ROWS: u32 = 128u;
const TILE_COLUMNS: u32 = 128u;
const TILE_DEPTH: u32 = 16u;
