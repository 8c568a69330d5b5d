// A row with an index target may be ignored: its columns are exactly 0, and it is not read, so that
// whatever stands there has no say.

fn is_skipped(coef: Coef, row: u32) -> bool {
    return coef.skipped != 0u;
}
