// An upstream gradient for each element: f32, like the losses that it is of.

@group(0) @binding(5) var<storage, read> dloss: array<Values>;    // [rows, columns]

fn upstream_of(at: Starts, word: u32) -> Values {
    return params.unit * dloss[at.dloss + word];
}
