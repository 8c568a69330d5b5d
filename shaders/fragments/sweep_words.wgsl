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
