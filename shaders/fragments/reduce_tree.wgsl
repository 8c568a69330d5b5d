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
