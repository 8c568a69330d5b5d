// Which rows, and which elements, count.

// == mask
// Which rows, or which elements, count: a byte each, 0 for one that does not.

@group(0) @binding(17) var<storage, read> mask: array<u32>;    // four each

fn mask_at(place: u32) -> bool {
    return ((mask[place / 4u] >> (8u * (place % 4u))) & 0xffu) != 0u;
}

// == mask_none
// No mask: all count.

fn mask_at(place: u32) -> bool {
    return true;
}

// == counts_all
// Every row counts, or says for itself that it does not.

fn row_counts(row: u32) -> bool {
    return true;
}

// == counts_targets
// A mask of rows, as targets: a row that does not count has the ignored value.

fn row_counts(row: u32) -> bool {
    return !target_is_ignored(target_at(row));
}

// == skips
// A row with an index target may be ignored: its columns are exactly 0, and it is not read, so that
// whatever stands there has no say.

fn is_skipped(coef: Coef, row: u32) -> bool {
    return coef.skipped != 0u;
}

// == skips_rows
// The columns of a row that does not count are exactly 0, whatever stands there.

fn is_skipped(coef: Coef, row: u32) -> bool {
    return !row_counts(row);
}
