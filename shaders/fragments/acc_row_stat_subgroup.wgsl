// RowStat over the active lanes of a subgroup: every lane gets the result.

fn acc_subgroup(acc: Acc, lane_id: u32) -> Acc {
    let top = subgroupMax(acc.max);
    // One lane that holds the maximum keeps its own 1 left out; the others' count.
    let owner = subgroupMin(select(0xffffffffu, lane_id, acc.max == top));
    let e = select(exp(z_scale() * (acc.max - top)), 1.0, acc.max == top);
    let part = select((1.0 + acc.rest) * e, acc.rest, lane_id == owner);
    return Acc(top, subgroupAdd(part));
}
