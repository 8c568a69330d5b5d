// A 16-bit input matrix, and one of losses, which are f32 whatever the input is.

@group(0) @binding(1) var<storage, read> input: array<u32>;           // [rows, columns], two each
@group(0) @binding(2) var<storage, read_write> output: array<f32>;    // [rows, columns]

fn load_input(row: u32, word: u32) -> Values {
    let start = params.input_offset + row * params.input_stride;
    let at = places(start, word);
    return aligned(start, word, input[at.x], input[at.y], input[at.z]);
}

fn store_output(row: u32, word: u32, values: Values) {
    let at = params.output_offset + row * params.output_stride + start_column(word);
    let count = min(WIDTH, params.classes - start_column(word));
    for (var i = 0u; i < count; i += 1u) {
        output[at + i] = component(values, i);
    }
}

// Nothing that is read is written: no hazard.
fn input_barrier() {}
