// Logits that stay where they are made.

// == logits_tile
// A tile of logits in workgroup memory, in the place of a matrix of them.

// A word more than a row has keeps neighbouring rows in different banks.
const LOGITS_STRIDE: u32 = COLUMN_WORDS + 1u;

var<workgroup> logits: array<vec4<f32>, TILE_ROWS * LOGITS_STRIDE>;

fn block_store(row: u32, column: u32, sums: mat4x4<f32>) {
    let at = row % TILE_ROWS * LOGITS_STRIDE + column % TILE_COLUMNS / 4u;
    logits[at] = sums[0];
    logits[at + LOGITS_STRIDE] = sums[1];
    logits[at + 2u * LOGITS_STRIDE] = sums[2];
    logits[at + 3u * LOGITS_STRIDE] = sums[3];
}

// Tiles start at multiples of their size, counted from the window's first class.
fn load_input(at: Starts, word: u32) -> Values {
    let column = (word - params.first_column) % TILE_COLUMNS;
    return logits[at.row % TILE_ROWS * LOGITS_STRIDE + column / 4u][column % 4u];
}

// == target_logit
// Of a row of logits that are gone, the target's: tile_sweep left it where split rows have their
// coefficients.

fn load_input(at: Starts, word: u32) -> Values {
    return Values(bitcast<f32>(scratch[scratch_coef(at.row)].x));
}
