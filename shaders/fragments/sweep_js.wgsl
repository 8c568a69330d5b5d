// What the second pass of the Jensen-Shannon divergence collects: the sums of both kinds of terms.

fn sweep(acc: LaneAcc, at: Starts, word: u32, x: Values) -> LaneAcc {
    let terms = js_terms(at, word, x);
    return LaneAcc(acc.both + (terms.teacher + terms.student), acc.student + terms.student);
}
