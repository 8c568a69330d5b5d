// A 16-bit input matrix, and one of losses, which are f32 whatever the input is.

@group(0) @binding(1) var<storage, read> input: array<Word>;             // [rows, columns]
@group(0) @binding(2) var<storage, read_write> output: array<Values>;    // [rows, columns]

fn load_input(row: u32, word: u32) -> Values {
    return unpack(input[params.input_offset + row * params.input_stride + word]);
}

fn store_output(row: u32, word: u32, values: Values) {
    output[params.output_offset + row * params.output_stride + word] = values;
}

// Nothing that is read is written: no hazard.
fn input_barrier() {}
