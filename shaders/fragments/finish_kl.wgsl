// What the columns of KL(teacher || student) need of their row.

fn row_finish(index: u32, row: Row, acc: Acc) -> Coef {
    let sum = 1.0 + acc.other_rest;
    // Above one half 1 - p has more digits than p.
    let both_sure = acc.rest < 1.0 && acc.other_rest < 1.0 && !TEACHER_IS_NORMALIZED;
    return Coef(
        acc.max,
        teacher_norm(acc.max, acc.rest),
        select(-1.0, acc.rest / (1.0 + acc.rest), both_sure),
        teacher_total(acc),
        acc.other_max,
        sum,
        acc.other_rest / sum,
        select(upstream_at(index), params.nan, row_is_undefined(acc)));
}
