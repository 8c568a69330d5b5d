// One Acc from a workgroup that is one subgroup: nothing goes through workgroup memory, and no lane
// waits.

struct Lane {
    @builtin(local_invocation_index) index: u32,
    @builtin(subgroup_invocation_id) in_subgroup: u32,
}

fn workgroup_reduce(lane: Lane, acc: Acc) -> Acc {
    return acc_subgroup(acc, lane.in_subgroup);
}
