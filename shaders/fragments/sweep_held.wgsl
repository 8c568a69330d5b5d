// One lane's share of a row, at most HELD words, which stay with the lane: what writes the row's
// columns does not read it again.

const HELD: u32 = 8u;

var<private> held: array<Values, HELD>;

fn sweep_words(index: u32, start: u32, end: u32, step: u32) -> Acc {
    let at = starts_of(index);
    var run = lane_identity();
    // Bounds that are constants let a driver unroll this, and keep what is held in registers.
    for (var i = 0u; i < HELD; i += 1u) {
        let word = start + i * step;
        if (word < end) {
            held[i] = load_input(at, word);
            run = swept(run, at, word, held[i]);
        }
    }
    return lane_collapse(run);
}
