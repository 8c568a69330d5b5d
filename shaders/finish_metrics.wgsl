// Folds the blocks of sum_metrics into the summary; one workgroup, a fixed order.

@compute @workgroup_size(WG_SIZE)
fn main(lane: Lane) {
    var acc = Acc(0.0, 0u);
    for (var block = lane.index; block < params.blocks; block += WG_SIZE) {
        acc = acc_combine(acc, Acc(bitcast<f32>(scratch[block].x), scratch[block].y));
    }
    let total = workgroup_reduce(lane, acc);
    if (lane.index == 0u) {
        summary.nll = total.nll;
        summary.correct = total.correct;
    }
}
