// Folds the blocks of sum_loss into the summary's loss, over the total weight for a mean; one
// workgroup, pairwise, in a fixed order.

@compute @workgroup_size(WG_SIZE)
fn main(lane: Lane) {
    var count = 0u;
    for (var block = lane.index; block < params.blocks; block += WG_SIZE) {
        pairwise_push(count, bitcast<f32>(scratch[block].x));
        count += 1u;
    }
    let total = workgroup_reduce(lane, Acc(pairwise_total(count)));
    if (lane.index == 0u) {
        summary.loss = reduced(total.sum);
    }
}
