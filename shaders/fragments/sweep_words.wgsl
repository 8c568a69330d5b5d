// One lane's share of a row: words start, start + step, ... below end.

// Words collected in one run before they join the lane's total: the rounding errors of a long row
// grow with the number of runs, not with the number of words.
const SWEEP_RUN: u32 = 64u;

fn sweep_words(index: u32, start: u32, end: u32, step: u32) -> Acc {
    var total = acc_identity();
    var word = start;
    while (word < end) {
        var run = lane_identity();
        for (var i = 0u; i < SWEEP_RUN && word < end; i += 1u) {
            run = swept(run, index, word);
            word += step;
        }
        total = acc_combine(total, lane_collapse(run));
    }
    return total;
}
