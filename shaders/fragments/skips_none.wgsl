// No row is ignored.

fn is_skipped(coef: Coef) -> bool {
    return false;
}
