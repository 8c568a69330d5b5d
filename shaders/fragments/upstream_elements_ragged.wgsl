// An upstream gradient for each element, one at a time: f32, like the losses that it is of.

@group(0) @binding(5) var<storage, read> dloss: array<f32>;    // [rows, columns]

fn upstream_of(row: u32, word: u32) -> Values {
    let start = params.dloss_offset + row * params.dloss_stride;
    let at = min(columns_of(word), Columns(params.classes - 1u)) + start;
    return params.unit * Values(dloss[at.x], dloss[at.y], dloss[at.z], dloss[at.w]);
}
