// A second matrix beside the input: the upstream gradient of a row transform.

@group(0) @binding(7) var<storage, read> second: array<u32>;    // [rows, classes], two each

fn load_second(row: u32, word: u32) -> Values {
    let start = params.second_offset + row * params.second_stride;
    let at = places(start, word);
    return aligned(start, word, second[at.x], second[at.y], second[at.z]);
}
