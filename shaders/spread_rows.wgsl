// Moves rows back to where they are in the batch; one lane a u32.

@group(0) @binding(1) var<storage, read> source: array<u32>;         // [rows, words]
@group(0) @binding(2) var<storage, read_write> rows: array<u32>;     // a window of the batch

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = flat_index(group) * WG_SIZE + lane;
    let place = index / params.words;
    if (place >= params.rows) {
        return;
    }
    let row = row_in_window(place);
    if (row < params.window_rows) {
        let at = params.output_offset + row * params.output_stride + index % params.words;
        rows[at] = source[params.input_offset + index];
    }
}
