// Folds the blocks of scan_targets into the summary; one workgroup.

@compute @workgroup_size(WG_SIZE)
fn main(lane: Lane) {
    var acc = Acc(0u, NO_ROW, 0.0);
    var count = 0u;
    for (var block = lane.index; block < params.blocks; block += WG_SIZE) {
        let part = scratch[2u * block];
        pairwise_push(count, bitcast<f32>(scratch[2u * block + 1u].x));
        count += 1u;
        acc = acc_combine(acc, Acc(part.x, part.y, 0.0));
    }
    acc.weight = pairwise_total(count);
    let total = workgroup_reduce(lane, acc);
    if (lane.index == 0u) {
        summary.total_weight = total.weight;
        summary.kept_rows = total.kept;
        summary.bad_row = total.bad;
        if (total.bad != NO_ROW) {
            summary.bad_target = scratch[2u * (total.bad / ROW_BLOCK)].zw;
        }
    }
}
