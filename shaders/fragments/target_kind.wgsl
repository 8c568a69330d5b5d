// What a target says of its row: skip it, a column, or neither.

fn target_is_ignored(index: vec2<u32>) -> bool {
    let ignored = vec2<u32>(params.ignore_low, params.ignore_high);
    return params.ignore_used != 0u && all(index == ignored);
}

fn target_is_column(index: vec2<u32>) -> bool {
    return index.y == 0u && index.x < params.classes;
}
