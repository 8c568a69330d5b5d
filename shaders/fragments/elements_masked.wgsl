// Which of a word's four elements count.

fn element_counts(at: Starts, word: u32) -> Mask {
    let first = at.mask + column_component(columns_of(word), 0u);
    // A last word may have fewer elements; nothing past the row's bytes is read.
    let last = min(first + 3u, at.mask + params.classes - 1u);
    let shift = 8u * (first % 4u);
    // No shift is by 32.
    let bytes = (mask[first / 4u] >> shift) | ((mask[last / 4u] << 1u) << (31u - shift));
    let each = (vec4<u32>(bytes) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(0xffu);
    return each != vec4<u32>(0u);
}
