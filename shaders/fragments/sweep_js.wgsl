// What the second pass of the Jensen-Shannon divergence collects: the sums of both kinds of terms.

fn sweep(acc: LaneAcc, row: u32, word: u32) -> LaneAcc {
    let terms = js_terms(row, word);
    return LaneAcc(acc.both + (terms.teacher + terms.student), acc.student + terms.student);
}
