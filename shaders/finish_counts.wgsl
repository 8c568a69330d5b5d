// Folds the blocks of sum_loss, of rows that hold how many of their elements count, into what a
// mean divides by; one workgroup, pairwise, in a fixed order.

@compute @workgroup_size(WG_SIZE)
fn main(lane: Lane) {
    var count = 0u;
    for (var block = lane.index; block < params.blocks; block += WG_SIZE) {
        pairwise_push(count, bitcast<f32>(scratch[block].x));
        count += 1u;
    }
    let total = workgroup_reduce(lane, Acc(pairwise_total(count)));
    if (lane.index == 0u) {
        summary.total_weight = total.sum;
    }
}
