// A 16-bit input matrix, and one of losses, which are f32 whatever the input is.

@group(0) @binding(1) var<storage, read> input: array<Word>;             // [rows, columns]
@group(0) @binding(2) var<storage, read_write> output: array<Values>;    // [rows, columns]

fn load_input(at: Starts, word: u32) -> Values {
    return unpack(input[at.input + word]);
}

fn store_output(at: Starts, word: u32, values: Values) {
    output[at.output + word] = values;
}

// Nothing that is read is written: no hazard.
fn input_barrier() {}
