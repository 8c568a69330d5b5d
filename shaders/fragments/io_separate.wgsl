// The input matrix and an output matrix of its own.

@group(0) @binding(1) var<storage, read> input: array<Word>;           // [rows, classes]
@group(0) @binding(2) var<storage, read_write> output: array<Word>;    // [rows, classes]

fn load_input(row: u32, word: u32) -> Values {
    return unpack(input[params.input_offset + row * params.input_stride + word]);
}

fn store_output(row: u32, word: u32, values: Values) {
    output[params.output_offset + row * params.output_stride + word] = pack(values);
}

// Nothing that is read is written: no hazard.
fn input_barrier() {}
