// The loss of a linear layer, first of two: a workgroup multiplies tile after tile of some rows'
// logits and sweeps them in workgroup memory; split_finish folds what it leaves. The tiles of a row
// are dealt out to stripes in turns; a stripe goes on from window to window of the classes.

const LANES_A_ROW: u32 = LANES_ACROSS * LANES_DOWN / TILE_ROWS;

fn piece_load(row: u32, piece: u32) -> Acc {
    var words = array<vec4<u32>, ACC_WORDS>();
    for (var i = 0u; i < ACC_WORDS; i += 1u) {
        words[i] = scratch[scratch_piece(row, piece) + i];
    }
    return acc_unpack(words);
}

fn piece_store(row: u32, piece: u32, acc: Acc) {
    let words = acc_pack(acc);
    for (var i = 0u; i < ACC_WORDS; i += 1u) {
        scratch[scratch_piece(row, piece) + i] = words[i];
    }
}

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let stripes = params.splits / LANES_A_ROW;
    let index = flat_index(group);
    let first_row = index / stripes * TILE_ROWS;
    if (first_row >= params.rows) {
        return;
    }
    let stripe = index % stripes;
    // Windows start at whole tiles, wherever in a turn.
    let turn = params.first_column / TILE_COLUMNS % stripes;
    let first_tile = (stripe + stripes - turn) % stripes;
    let part = lane % LANES_A_ROW;
    let piece = stripe * LANES_A_ROW + part;
    // Lanes past the last row compute it once more, and store nothing.
    let is_row = first_row + lane / LANES_A_ROW < params.rows;
    let row = min(first_row + lane / LANES_A_ROW, params.rows - 1u);
    let at = starts_of(row);
    // A target that is no column, or in another window, is in no tile.
    let target_column = target_at(row).x - params.first_column;
    var total = acc_identity();
    if (params.continued != 0u) {
        total = piece_load(row, piece);
    }
    for (var column = first_tile * TILE_COLUMNS; column < params.columns;
        column += stripes * TILE_COLUMNS) {
        let origin = vec2<u32>(first_row, column);
        sums_store(lane, origin, tile_product(lane, origin));
        // Other lanes stored what is read below.
        workgroupBarrier();
        let end = min(column + TILE_COLUMNS, params.columns);
        var run = lane_identity();
        for (var word = column + part; word < end; word += LANES_A_ROW) {
            let class_index = params.first_column + word;
            run = swept(run, at, class_index, load_input(at, class_index));
        }
        total = acc_combine(total, lane_collapse(run));
        if (is_row && part == 0u && target_column >= column && target_column < end) {
            let logit = load_input(at, params.first_column + target_column);
            scratch[scratch_coef(row)] = vec4<u32>(bitcast<u32>(logit), 0u, 0u, 0u);
        }
        // All lanes have read what the next tile overwrites.
        workgroupBarrier();
    }
    if (is_row) {
        piece_store(row, piece, total);
    }
}
