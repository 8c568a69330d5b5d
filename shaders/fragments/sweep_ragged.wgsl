// A row's last word may have fewer elements than others; what stands behind it has no say.

fn swept(run: LaneAcc, at: Starts, word: u32, x: Values) -> LaneAcc {
    let after = sweep(run, at, word, x);
    if (is_whole(word)) {
        return after;
    }
    return lane_select(run, after, inside(word));
}
