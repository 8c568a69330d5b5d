// Intermediate results of the split kernels and of the sums over rows.

@group(0) @binding(8) var<storage, read_write> scratch: array<vec4<u32>>;

// A split row's part of it: two words of Coef, then an Acc for each piece.
fn scratch_row(row: u32) -> u32 {
    return row * (2u + params.splits);
}
