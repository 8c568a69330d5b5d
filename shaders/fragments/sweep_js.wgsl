// What the second pass of the Jensen-Shannon divergence collects: the sums of both kinds of terms.

fn sweep(acc: LaneAcc, at: Starts, word: u32) -> LaneAcc {
    let terms = js_terms(at, word, load_input(at, word));
    return LaneAcc(acc.both + (terms.teacher + terms.student), acc.student + terms.student);
}
