// Rows of a batch by their place among those that are not ignored.

@group(0) @binding(14) var<storage, read> kept: array<u32>;    // the batch's row at each place

// Which row of the window the row at a place is; past its end where it is in another.
fn row_in_window(place: u32) -> u32 {
    return kept[params.first_row + place] - params.window_row;
}
