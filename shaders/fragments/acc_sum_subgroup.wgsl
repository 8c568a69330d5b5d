// The sum over the active lanes of a subgroup: every lane gets the result.

fn acc_subgroup(acc: Acc, lane_id: u32) -> Acc {
    return Acc(subgroupAdd(acc.sum));
}
