// Lists the rows that are not ignored, in order; one workgroup a block of ROW_BLOCK rows, after
// scan_targets has left in scratch how many each block keeps.

// [rows], of which the first kept_rows are written
@group(0) @binding(14) var<storage, read_write> kept: array<u32>;

// Of each lane: how many rows its run keeps, and its share of the blocks before.
var<workgroup> counted: array<vec2<u32>, WG_SIZE>;

fn is_kept(row: u32) -> bool {
    return !target_is_ignored(target_at(row));
}

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let block = flat_index(group);
    if (block * ROW_BLOCK >= params.rows) {
        return;
    }
    let run = ROW_BLOCK / WG_SIZE;
    let first = block * ROW_BLOCK + lane * run;
    let end = min(first + run, params.rows);
    var count = vec2<u32>(0u);
    for (var row = first; row < end; row += 1u) {
        count.x += select(0u, 1u, is_kept(row));
    }
    for (var before = lane; before < params.first_block + block; before += WG_SIZE) {
        count.y += scratch[2u * before].x;
    }
    counted[lane] = count;
    workgroupBarrier();
    var place = 0u;
    for (var other = 0u; other < WG_SIZE; other += 1u) {
        place += counted[other].y + select(0u, counted[other].x, other < lane);
    }
    for (var row = first; row < end; row += 1u) {
        if (is_kept(row)) {
            kept[place] = params.first_row + row;
            place += 1u;
        }
    }
}
