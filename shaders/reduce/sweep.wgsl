// How a row's words are swept.

// == row_swept
// A row of which nothing is read before its sweep. One that does not count is not swept.

struct Row { words: u32 }

fn row_begin(index: u32) -> Row {
    return Row(select(0u, params.swept_words, row_counts(index)));
}

// == sweep_whole
// Every word of a row has all its elements.

fn swept(run: LaneAcc, at: Starts, word: u32, x: Values) -> LaneAcc {
    return sweep(run, at, word, x);
}

// == sweep_ragged
// A row's last word may have fewer elements than others; what stands behind it has no say.

fn swept(run: LaneAcc, at: Starts, word: u32, x: Values) -> LaneAcc {
    let after = sweep(run, at, word, x);
    if (is_whole(word)) {
        return after;
    }
    return lane_select(run, after, inside(word));
}

// == sweep_words
// One lane's share of a row: words start, start + step, ... below end.

fn sweep_words(index: u32, start: u32, end: u32, step: u32) -> Acc {
    let at = starts_of(index);
    var total = acc_identity();
    for (var first = start; first < end; first += SWEEP_RUN * step) {
        var run = lane_identity();
        let last = min(end, first + SWEEP_RUN * step);
        for (var word = first; word < last; word += step) {
            run = swept(run, at, word, load_input(at, word));
        }
        total = acc_combine(total, lane_collapse(run));
    }
    return total;
}

// == sweep_held
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
