// The input matrix and an output matrix of its own.

@group(0) @binding(1) var<storage, read> input: array<Word>;           // [rows, classes]
@group(0) @binding(2) var<storage, read_write> output: array<Word>;    // [rows, classes]

fn load_input(at: Starts, word: u32) -> Values {
    return unpack(input[at.input + word]);
}

fn store_output(at: Starts, word: u32, values: Values) {
    output[at.output + word] = pack(values);
}

// Nothing that is read is written: no hazard.
fn input_barrier() {}
