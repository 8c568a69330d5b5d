// A weight for each element.

@group(0) @binding(10) var<storage, read> factors: array<Word>;    // [rows, columns]

fn element_factor(row: u32, word: u32) -> Values {
    return unpack(factors[params.factors_offset + row * params.factors_stride + word]);
}
