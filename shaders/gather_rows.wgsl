// Moves rows that are kept together; one lane a u32. Rows of 16-bit elements may start in the
// middle of one, so that where a row starts is counted in halves.

@group(0) @binding(1) var<storage, read> source: array<u32>;         // a window of the batch
@group(0) @binding(2) var<storage, read_write> rows: array<u32>;     // [rows, words]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = flat_index(group) * WG_SIZE + lane;
    let place = index / params.words;
    if (place >= params.rows) {
        return;
    }
    let row = row_in_window(place);
    if (row >= params.window_rows) {
        return;
    }
    let start = params.input_offset + row * params.input_stride;
    let at = start / 2u + index % params.words;
    let shift = (start & 1u) * 16u;
    // No shift is by 32.
    let word = (source[at] >> shift) | ((source[at + 1u] << 1u) << (31u - shift));
    rows[params.output_offset + index] = word;
}
