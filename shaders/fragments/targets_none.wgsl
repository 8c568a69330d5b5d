// Rows without targets, which a mask is made for: all of them the first class.

fn target_at(row: u32) -> vec2<u32> {
    return vec2<u32>(0u);
}
