// Class indices.

// == targets_i32
// Index targets as i32, widened to the two halves of an i64.

@group(0) @binding(4) var<storage, read> targets: array<i32>;    // [rows]

fn target_at(row: u32) -> vec2<u32> {
    let index = targets[params.targets_offset + row];
    return vec2<u32>(bitcast<u32>(index), bitcast<u32>(index >> 31u));
}

// == targets_i64
// Index targets as i64: low half, high half.

@group(0) @binding(4) var<storage, read> targets: array<vec2<u32>>;    // [rows]

fn target_at(row: u32) -> vec2<u32> {
    return targets[params.targets_offset + row];
}

// == targets_none
// Rows without targets, which a mask is made for: all of them the first class.

fn target_at(row: u32) -> vec2<u32> {
    return vec2<u32>(0u);
}

// == target_kind
// What a target says of its row: skip it, a column, or neither.

fn target_is_ignored(index: vec2<u32>) -> bool {
    let ignored = vec2<u32>(params.ignore_low, params.ignore_high);
    return params.ignore_used != 0u && all(index == ignored);
}

fn target_is_column(index: vec2<u32>) -> bool {
    return index.y == 0u && index.x < params.classes;
}
