// An upstream gradient for each row.

@group(0) @binding(5) var<storage, read> dloss: array<f32>;    // [rows]

fn upstream_at(row: u32) -> f32 {
    return params.unit * dloss[params.dloss_offset + row];
}
