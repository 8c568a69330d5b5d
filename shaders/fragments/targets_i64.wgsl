// Index targets as i64: low half, high half.

@group(0) @binding(4) var<storage, read> targets: array<vec2<u32>>;    // [rows]

fn target_at(row: u32) -> vec2<u32> {
    return targets[params.targets_offset + row];
}
