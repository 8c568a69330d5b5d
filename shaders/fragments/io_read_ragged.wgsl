// The input matrix, read only: for kernels that write rows, not columns.

@group(0) @binding(1) var<storage, read> input: array<u32>;     // [rows, classes], two each

fn load_input(at: Starts, word: u32) -> Values {
    let pairs = places(at.input, word);
    return aligned(at.input, word, input[pairs.x], input[pairs.y], input[pairs.z]);
}

// Nothing is overwritten: no hazard.
fn input_barrier() {}
