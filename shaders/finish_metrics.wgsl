// Folds the blocks of sum_metrics into the summary; one workgroup, pairwise, in a fixed order.

@compute @workgroup_size(WG_SIZE)
fn main(lane: Lane) {
    var count = 0u;
    var correct = 0u;
    for (var block = lane.index; block < params.blocks; block += WG_SIZE) {
        pairwise_push(count, bitcast<f32>(scratch[block].x));
        count += 1u;
        correct += scratch[block].y;
    }
    let total = workgroup_reduce(lane, Acc(pairwise_total(count), correct));
    if (lane.index == 0u) {
        summary.nll = total.nll;
        summary.correct = total.correct;
    }
}
