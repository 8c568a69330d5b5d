// One matrix, read and then overwritten: the output takes the input's place.

@group(0) @binding(1) var<storage, read_write> input: array<u32>;     // [rows, classes], two each

fn output_start(at: Starts) -> u32 {
    return at.input;
}

fn load_input(at: Starts, word: u32) -> Values {
    let pairs = places(at.input, word);
    return aligned(at.input, word, input[pairs.x], input[pairs.y], input[pairs.z]);
}

fn write_output(at: u32, pair: u32) {
    input[at] = pair;
}

// Lanes sweep words that lie in other u32s than those that they overwrite. All must have read
// before.
fn input_barrier() {
    storageBarrier();
}
