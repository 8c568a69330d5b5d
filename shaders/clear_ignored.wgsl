// Writes zeros to the rows that are ignored, but for the last word; one lane a u32.

@group(0) @binding(2) var<storage, read_write> rows: array<u32>;

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = flat_index(group) * WG_SIZE + lane;
    let row = index / params.words;
    if (row >= params.rows || !target_is_ignored(target_at(row))) {
        return;
    }
    let word = index % params.words;
    let at = params.output_offset + row * params.output_stride + word;
    rows[at] = select(0u, params.last_word, word + 1u == params.words);
}
