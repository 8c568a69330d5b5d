// A second matrix beside the input: the upstream gradient of a row transform.

@group(0) @binding(7) var<storage, read> second: array<Word>;    // [rows, classes]

fn load_second(at: Starts, word: u32) -> Values {
    return unpack(second[at.second + word]);
}
