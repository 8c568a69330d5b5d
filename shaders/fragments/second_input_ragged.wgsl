// A second matrix beside the input: the upstream gradient of a row transform.

@group(0) @binding(7) var<storage, read> second: array<u32>;    // [rows, classes], two each

fn load_second(at: Starts, word: u32) -> Values {
    let pairs = places(at.second, word);
    return aligned(at.second, word, second[pairs.x], second[pairs.y], second[pairs.z]);
}
