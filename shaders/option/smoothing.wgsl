// Label smoothing with index targets.

// == smoothing_none
// No label smoothing: nothing rides along with the RowStat.

fn smoothing_loss(acc: Acc) -> f32 {
    return 0.0;
}

// == smoothing
// Label smoothing: every class has a share of the loss by its weight, formula (12) of
// docs/NUMERICS.md.

// (e / C) sum_j w_j nll_j.
fn smoothing_loss(acc: Acc) -> f32 {
    return params.smooth_class * nll_sum(acc, acc.spread, acc.weight);
}
