// Where a row lies in each matrix, found once for all its words: in words, or in elements where
// rows of 16 bits start anywhere.

struct Starts {
    row: u32,
    input: u32,
    output: u32,
    second: u32,
    factors: u32,
    dloss: u32,
    mask: u32,      // in bytes
}

fn starts_of(row: u32) -> Starts {
    return Starts(
        row,
        params.input_offset + row * params.input_stride,
        params.output_offset + row * params.output_stride,
        params.second_offset + row * params.second_stride,
        params.factors_offset + row * params.factors_stride,
        params.dloss_offset + row * params.dloss_stride,
        params.mask_offset + row * params.mask_stride);
}
