// An upstream gradient for each element.

@group(0) @binding(5) var<storage, read> dloss: array<Word>;    // [rows, columns]

fn upstream_of(row: u32, word: u32) -> Values {
    return params.unit * unpack(dloss[params.dloss_offset + row * params.dloss_stride + word]);
}
