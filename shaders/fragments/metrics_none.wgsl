// No metrics: a row has a loss and a log-sum-exp.

fn best_of(acc: Acc, target_column: u32) -> u32 {
    return 0u;
}

fn labels_nll(acc: Acc) -> f32 {
    return 0.0;
}

fn labels_column(acc: Acc) -> u32 {
    return 0u;
}
