// The sum is the row's coefficient.

fn row_finish(index: u32, row: Row, acc: Acc) -> Coef {
    return Coef(acc.sum);
}
