// No mask: all count.

fn mask_at(place: u32) -> bool {
    return true;
}
