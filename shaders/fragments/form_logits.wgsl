// Input that a softmax normalises: what makes a z into -log p is the row's statistic.

fn stat_is_undefined(acc: Acc) -> bool {
    return has_no_softmax(acc.max, acc.rest);
}

fn row_lse(acc: Acc) -> f32 {
    return lse_of(acc);
}

// factor lse, finite where it is, though lse be not: its maximum alone is as large as that.
fn lse_times(acc: Acc, factor: f32) -> f32 {
    let lse = lse_of(acc);
    return select(factor * z_scale() * acc.max, factor * lse, is_finite(lse));
}

fn stat_max(acc: Acc) -> f32 {
    return acc.max;
}

fn stat_log_sum(acc: Acc) -> f32 {
    return log1p(acc.rest);
}

// Formula (5): two terms of one sign.
fn nll_of(acc: Acc, z: f32) -> f32 {
    return z_scale() * (stat_max(acc) - z) + stat_log_sum(acc);
}

// sum_j w_j nll_j from the sums of w_j (max - z_j) and of w_j.
fn nll_sum(acc: Acc, spread: f32, weight: f32) -> f32 {
    return z_scale() * spread + weight * log1p(acc.rest);
}
