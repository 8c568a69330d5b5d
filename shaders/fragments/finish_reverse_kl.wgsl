// What the columns of KL(student || teacher) need of their row.

fn row_finish(index: u32, row: Row, acc: Acc) -> Coef {
    let kl = divergence(acc);
    // An infinite divergence has no gradient.
    let undefined = row_is_undefined(acc) || !is_finite(kl);
    return Coef(
        acc.max,
        1.0 + acc.rest,
        log1p(acc.rest),
        acc.other_max,
        teacher_norm(acc.other_max, acc.other_rest),
        kl,
        select(upstream_at(index), params.nan, undefined));
}
