// The input matrix and an output matrix of its own.

@group(0) @binding(1) var<storage, read> input: array<u32>;           // [rows, classes], two each
@group(0) @binding(2) var<storage, read_write> output: array<u32>;    // the same

fn load_input(at: Starts, word: u32) -> Values {
    let pairs = places(at.input, word);
    return aligned(at.input, word, input[pairs.x], input[pairs.y], input[pairs.z]);
}

fn output_start(at: Starts) -> u32 {
    return at.output;
}

fn write_output(at: u32, pair: u32) {
    output[at] = pair;
}

// Nothing that is read is written: no hazard.
fn input_barrier() {}
