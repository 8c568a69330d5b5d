// An upstream gradient for each element, one at a time: f32, like the losses that it is of.

@group(0) @binding(5) var<storage, read> dloss: array<f32>;    // [rows, columns]

fn upstream_of(at: Starts, word: u32) -> Values {
    let places = min(columns_of(word), Columns(params.classes - 1u)) + at.dloss;
    return params.unit
        * Values(dloss[places.x], dloss[places.y], dloss[places.z], dloss[places.w]);
}
