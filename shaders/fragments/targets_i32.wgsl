// Index targets as i32, widened to the two halves of an i64.

@group(0) @binding(4) var<storage, read> targets: array<i32>;    // [rows]

fn target_at(row: u32) -> vec2<u32> {
    let index = targets[params.targets_offset + row];
    return vec2<u32>(bitcast<u32>(index), bitcast<u32>(index >> 31u));
}
