// A weight for each element.

@group(0) @binding(10) var<storage, read> factors: array<u32>;    // [rows, columns], two each

fn element_factor(row: u32, word: u32) -> Values {
    let start = params.factors_offset + row * params.factors_stride;
    let at = places(start, word);
    return aligned(start, word, factors[at.x], factors[at.y], factors[at.z]);
}
