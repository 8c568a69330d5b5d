// A weight for each element.

@group(0) @binding(10) var<storage, read> factors: array<u32>;    // [rows, columns], two each

fn element_factor(at: Starts, word: u32) -> Values {
    let pairs = places(at.factors, word);
    return aligned(at.factors, word, factors[pairs.x], factors[pairs.y], factors[pairs.z]);
}
