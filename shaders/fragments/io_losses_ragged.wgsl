// A 16-bit input matrix, and one of losses, which are f32 whatever the input is.

@group(0) @binding(1) var<storage, read> input: array<u32>;           // [rows, columns], two each
@group(0) @binding(2) var<storage, read_write> output: array<f32>;    // [rows, columns]

fn load_input(at: Starts, word: u32) -> Values {
    let pairs = places(at.input, word);
    return aligned(at.input, word, input[pairs.x], input[pairs.y], input[pairs.z]);
}

fn store_output(at: Starts, word: u32, values: Values) {
    let first = at.output + start_column(word);
    let count = min(WIDTH, params.classes - start_column(word));
    for (var i = 0u; i < count; i += 1u) {
        output[first + i] = component(values, i);
    }
}

// Nothing that is read is written: no hazard.
fn input_barrier() {}
