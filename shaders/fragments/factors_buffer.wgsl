// A weight for each element.

@group(0) @binding(10) var<storage, read> factors: array<Word>;    // [rows, columns]

fn element_factor(at: Starts, word: u32) -> Values {
    return unpack(factors[at.factors + word]);
}
