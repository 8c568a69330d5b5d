// Sums of a matrix's columns, row by row from the first; one lane a column. Rows that come later go
// on from what is stored, so that a sum's bits do not depend on where they are cut.

@group(0) @binding(1) var<storage, read> summands: array<f32>;       // [rows, columns]
@group(0) @binding(2) var<storage, read_write> sums: array<f32>;     // [columns]

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let column = flat_index(group) * WG_SIZE + lane;
    if (column >= params.columns) {
        return;
    }
    let at = params.output_offset + column;
    var sum = 0.0;
    if (params.continued != 0u) {
        sum = sums[at];
    }
    for (var row = 0u; row < params.rows; row += 1u) {
        sum += summands[params.input_offset + row * params.input_stride + column];
    }
    sums[at] = sum;
}
