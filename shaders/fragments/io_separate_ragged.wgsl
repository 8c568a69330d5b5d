// The input matrix and an output matrix of its own.

@group(0) @binding(1) var<storage, read> input: array<u32>;           // [rows, classes], two each
@group(0) @binding(2) var<storage, read_write> output: array<u32>;    // the same

fn load_input(row: u32, word: u32) -> Values {
    let start = params.input_offset + row * params.input_stride;
    let at = places(start, word);
    return aligned(start, word, input[at.x], input[at.y], input[at.z]);
}

fn output_start(row: u32) -> u32 {
    return params.output_offset + row * params.output_stride;
}

fn write_output(at: u32, pair: u32) {
    output[at] = pair;
}

// Nothing that is read is written: no hazard.
fn input_barrier() {}
