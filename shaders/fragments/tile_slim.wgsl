// A tile of 32 x 64 elements by 32 lanes, 8 x 8 each: for software drivers, and for few lanes.

const LANES_ACROSS: u32 = 8u;
const LANES_DOWN: u32 = 4u;
const TILE_ROWS: u32 = 32u;
const TILE_COLUMNS: u32 = 64u;
const TILE_DEPTH: u32 = 16u;
