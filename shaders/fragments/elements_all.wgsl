// Every element counts.

fn element_counts(at: Starts, word: u32) -> Mask {
    return Mask(true);
}
