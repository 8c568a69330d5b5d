// The bindings of matrices.

// == io_read
// The input matrix, read only: for kernels that write rows, not columns.

@group(0) @binding(1) var<storage, read> input: array<Word>;     // [rows, classes]

fn load_input(at: Starts, word: u32) -> Values {
    return unpack(input[at.input + word]);
}

// Nothing is overwritten: no hazard.
fn input_barrier() {}

// == io_separate
// The input matrix and an output matrix of its own.

@group(0) @binding(1) var<storage, read> input: array<Word>;           // [rows, classes]
@group(0) @binding(2) var<storage, read_write> output: array<Word>;    // [rows, classes]

fn load_input(at: Starts, word: u32) -> Values {
    return unpack(input[at.input + word]);
}

fn store_output(at: Starts, word: u32, values: Values) {
    output[at.output + word] = pack(values);
}

// Nothing that is read is written: no hazard.
fn input_barrier() {}

// == io_in_place
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

// == io_losses
// A 16-bit input matrix, and one of losses, which are f32 whatever the input is.

@group(0) @binding(1) var<storage, read> input: array<Word>;             // [rows, columns]
@group(0) @binding(2) var<storage, read_write> output: array<Values>;    // [rows, columns]

fn load_input(at: Starts, word: u32) -> Values {
    return unpack(input[at.input + word]);
}

fn store_output(at: Starts, word: u32, values: Values) {
    output[at.output + word] = values;
}

// Nothing that is read is written: no hazard.
fn input_barrier() {}

// == io_read_ragged
// The input matrix, read only: for kernels that write rows, not columns.

@group(0) @binding(1) var<storage, read> input: array<u32>;     // [rows, classes], two each

fn load_input(at: Starts, word: u32) -> Values {
    let pairs = places(at.input, word);
    return aligned(at.input, word, input[pairs.x], input[pairs.y], input[pairs.z]);
}

// Nothing is overwritten: no hazard.
fn input_barrier() {}

// == io_separate_ragged
// The input matrix and an output matrix of its own.

@group(0) @binding(1) var<storage, read> input: array<u32>;           // [rows, classes], two each
@group(0) @binding(2) var<storage, read_write> output: array<u32>;    // the same

fn load_input(at: Starts, word: u32) -> Values {
    let pairs = places(at.input, word);
    return aligned(at.input, word, input[pairs.x], input[pairs.y], input[pairs.z]);
}

fn output_start(at: Starts) -> u32 {
    return at.output;
}

fn write_output(at: u32, pair: u32) {
    output[at] = pair;
}

// Nothing that is read is written: no hazard.
fn input_barrier() {}

// == io_in_place_ragged
// One matrix, read and then overwritten: the output takes the input's place.

@group(0) @binding(1) var<storage, read_write> input: array<u32>;     // [rows, classes], two each

fn output_start(at: Starts) -> u32 {
    return at.input;
}

fn load_input(at: Starts, word: u32) -> Values {
    let pairs = places(at.input, word);
    return aligned(at.input, word, input[pairs.x], input[pairs.y], input[pairs.z]);
}

fn write_output(at: u32, pair: u32) {
    input[at] = pair;
}

// Lanes sweep words that lie in other u32s than those that they overwrite. All must have read
// before.
fn input_barrier() {
    storageBarrier();
}

// == io_losses_ragged
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

// == second_input
// A second matrix beside the input: the upstream gradient of a row transform.

@group(0) @binding(7) var<storage, read> second: array<Word>;    // [rows, classes]

fn load_second(at: Starts, word: u32) -> Values {
    return unpack(second[at.second + word]);
}

// == second_input_ragged
// A second matrix beside the input: the upstream gradient of a row transform.

@group(0) @binding(7) var<storage, read> second: array<u32>;    // [rows, classes], two each

fn load_second(at: Starts, word: u32) -> Values {
    let pairs = places(at.second, word);
    return aligned(at.second, word, second[pairs.x], second[pairs.y], second[pairs.z]);
}
