// Whether a word's one element counts.

fn element_counts(at: Starts, word: u32) -> Mask {
    return mask_at(at.mask + word);
}
