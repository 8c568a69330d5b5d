// One matrix, read and then overwritten: the output takes the input's place.

@group(0) @binding(1) var<storage, read_write> input: array<Word>;     // [rows, classes]

fn load_input(at: Starts, word: u32) -> Values {
    return unpack(input[at.input + word]);
}

fn store_output(at: Starts, word: u32, values: Values) {
    input[at.input + word] = pack(values);
}

// Every lane reads the target's logit; one of them overwrites it. All must have read before.
fn input_barrier() {
    storageBarrier();
}
