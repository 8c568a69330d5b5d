// Intermediate results of the split kernels and of the sums over rows.

@group(0) @binding(8) var<storage, read_write> scratch: array<vec4<u32>>;

// Of split rows: two words of Coef for each row, then the pieces of all of them.
fn scratch_coef(row: u32) -> u32 {
    return row * 2u;
}
