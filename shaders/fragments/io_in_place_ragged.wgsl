// One matrix, read and then overwritten: the output takes the input's place.

@group(0) @binding(1) var<storage, read_write> input: array<u32>;     // [rows, classes], two each

fn output_start(row: u32) -> u32 {
    return params.input_offset + row * params.input_stride;
}

fn load_input(row: u32, word: u32) -> Values {
    let start = output_start(row);
    let at = places(start, word);
    return aligned(start, word, input[at.x], input[at.y], input[at.z]);
}

fn write_output(at: u32, pair: u32) {
    input[at] = pair;
}

// Lanes sweep words that lie in other u32s than those that they overwrite. All must have read
// before.
fn input_barrier() {
    storageBarrier();
}
