// A second matrix beside the input: the upstream gradient of a row transform.

@group(0) @binding(7) var<storage, read> second: array<Word>;    // [rows, classes]

fn load_second(row: u32, word: u32) -> Values {
    return unpack(second[params.second_offset + row * params.second_stride + word]);
}
