// The input matrix, read only: for kernels that write rows, not columns.

@group(0) @binding(1) var<storage, read> input: array<u32>;     // [rows, classes], two each

fn load_input(row: u32, word: u32) -> Values {
    let start = params.input_offset + row * params.input_stride;
    let at = places(start, word);
    return aligned(start, word, input[at.x], input[at.y], input[at.z]);
}

// Nothing is overwritten: no hazard.
fn input_barrier() {}
