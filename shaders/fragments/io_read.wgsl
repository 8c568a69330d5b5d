// The input matrix, read only: for kernels that write rows, not columns.

@group(0) @binding(1) var<storage, read> input: array<Word>;     // [rows, classes]

fn load_input(at: Starts, word: u32) -> Values {
    return unpack(input[at.input + word]);
}

// Nothing is overwritten: no hazard.
fn input_barrier() {}
