// Folds the blocks of sum_loss, of rows that hold how many of their elements count, into what a
// mean divides by; one workgroup, a fixed order.

@compute @workgroup_size(WG_SIZE)
fn main(lane: Lane) {
    var sum = 0.0;
    for (var block = lane.index; block < params.blocks; block += WG_SIZE) {
        sum += bitcast<f32>(scratch[block].x);
    }
    let total = workgroup_reduce(lane, Acc(sum));
    if (lane.index == 0u) {
        summary.total_weight = total.sum;
    }
}
