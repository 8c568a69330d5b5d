// Input that is normalised already, z a log-probability: formula (17) of docs/NUMERICS.md.

fn stat_is_undefined(acc: Acc) -> bool {
    return false;
}

fn row_lse(acc: Acc) -> f32 {
    return 0.0;
}

fn lse_times(acc: Acc, factor: f32) -> f32 {
    return 0.0;
}

fn stat_max(acc: Acc) -> f32 {
    return 0.0;
}

fn stat_log_sum(acc: Acc) -> f32 {
    return 0.0;
}

fn nll_of(acc: Acc, z: f32) -> f32 {
    return -z;
}

// sum_j w_j nll_j from the sums of w_j (max - z_j) and of w_j: two terms of one sign, because the
// logarithm of a probability is not positive.
fn nll_sum(acc: Acc, spread: f32, weight: f32) -> f32 {
    return spread - weight * acc.max;
}
