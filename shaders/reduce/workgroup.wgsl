// One accumulator from a workgroup's lanes.

// == reduce_tree
// One Acc from a whole workgroup through workgroup memory; every lane gets the result.
// Call it once a kernel, from uniform control flow.

struct Lane {
    @builtin(local_invocation_index) index: u32,
}

var<workgroup> reduce_slots: array<Acc, WG_SIZE>;

fn workgroup_reduce(lane: Lane, acc: Acc) -> Acc {
    reduce_slots[lane.index] = acc;
    for (var stride = WG_SIZE / 2u; stride > 0u; stride /= 2u) {
        // The slots read below were written by other lanes.
        workgroupBarrier();
        if (lane.index < stride) {
            reduce_slots[lane.index] =
                acc_combine(reduce_slots[lane.index], reduce_slots[lane.index + stride]);
        }
    }
    // Lane 0 wrote the result.
    workgroupBarrier();
    return reduce_slots[0];
}

// == reduce_subgroup
// One Acc from a whole workgroup: subgroup operations first, then one slot a subgroup in workgroup
// memory; every lane gets the result. Call it once a kernel, from uniform control flow.

struct Lane {
    @builtin(local_invocation_index) index: u32,
    @builtin(subgroup_invocation_id) in_subgroup: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
}

// A subgroup has at least four lanes; the plan asks for no other.
var<workgroup> reduce_slots: array<Acc, (WG_SIZE + 3u) / 4u>;

fn workgroup_reduce(lane: Lane, acc: Acc) -> Acc {
    let mine = acc_subgroup(acc, lane.in_subgroup);
    if (lane.in_subgroup == 0u) {
        reduce_slots[lane.subgroup] = mine;
    }
    // The slots read below were written by other subgroups.
    workgroupBarrier();
    var total = reduce_slots[0];
    for (var i = 1u; i < lane.subgroups; i += 1u) {
        total = acc_combine(total, reduce_slots[i]);
    }
    return total;
}

// == reduce_one_subgroup
// One Acc from a workgroup that is one subgroup: nothing goes through workgroup memory, and no lane
// waits.

struct Lane {
    @builtin(local_invocation_index) index: u32,
    @builtin(subgroup_invocation_id) in_subgroup: u32,
}

fn workgroup_reduce(lane: Lane, acc: Acc) -> Acc {
    return acc_subgroup(acc, lane.in_subgroup);
}
