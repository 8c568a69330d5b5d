// A product on top of a bias for each column.

@group(0) @binding(13) var<storage, read> bias: array<f32>;    // [columns]

fn start_four(row: u32, column: u32) -> vec4<f32> {
    let at = min(vec4<u32>(0u, 1u, 2u, 3u) + column, vec4<u32>(params.columns - 1u))
        + params.bias_offset;
    return vec4<f32>(bias[at.x], bias[at.y], bias[at.z], bias[at.w]);
}
