// The input matrix, read only: for kernels that write rows, not columns.

@group(0) @binding(1) var<storage, read> input: array<Word>;     // [rows, classes]

fn load_input(row: u32, word: u32) -> Values {
    return unpack(input[params.input_offset + row * params.input_stride + word]);
}

// Nothing is overwritten: no hazard.
fn input_barrier() {}
