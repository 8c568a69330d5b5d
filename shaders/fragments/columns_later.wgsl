// Leaves a row's coefficients in scratch, for split_columns.

fn columns(index: u32, row: Row, acc: Acc, start: u32, step: u32) {
    let packed = coef_pack(row_finish(index, row, acc));
    scratch[scratch_coef(index)] = packed[0];
    scratch[scratch_coef(index) + 1u] = packed[1];
}
