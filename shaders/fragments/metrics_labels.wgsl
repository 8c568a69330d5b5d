// What the metrics of a row with probability targets need besides: its -log p by its labels alone,
// and their largest column.

fn labels_nll(acc: Acc) -> f32 {
    return nll_sum(acc, acc.share_spread, acc.share);
}

fn labels_column(acc: Acc) -> u32 {
    return seen_column(acc.label_column);
}
