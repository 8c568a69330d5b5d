// A row's last word may have fewer elements than others; what stands behind it has no say.

fn swept(run: LaneAcc, row: u32, word: u32) -> LaneAcc {
    let after = sweep(run, row, word);
    if (is_whole(word)) {
        return after;
    }
    return lane_select(run, after, inside(word));
}
