// Which rows, or which elements, count: a byte each, 0 for one that does not.

@group(0) @binding(17) var<storage, read> mask: array<u32>;    // four each

fn mask_at(place: u32) -> bool {
    return ((mask[place / 4u] >> (8u * (place % 4u))) & 0xffu) != 0u;
}
