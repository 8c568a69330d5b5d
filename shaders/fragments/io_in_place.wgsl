// One matrix, read and then overwritten: the output takes the input's place.

@group(0) @binding(1) var<storage, read_write> input: array<Word>;     // [rows, classes]

fn load_input(row: u32, word: u32) -> Values {
    return unpack(input[params.input_offset + row * params.input_stride + word]);
}

fn store_output(row: u32, word: u32, values: Values) {
    input[params.input_offset + row * params.input_stride + word] = pack(values);
}

// Every lane reads the target's logit; one of them overwrites it. All must have read before.
fn input_barrier() {
    storageBarrier();
}
