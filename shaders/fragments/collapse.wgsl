// One accumulator from those of a word's components.

fn lane_collapse(acc: LaneAcc) -> Acc {
    var total = lane_component(acc, 0u);
    for (var i = 1u; i < WIDTH; i += 1u) {
        total = acc_combine(total, lane_component(acc, i));
    }
    return total;
}
