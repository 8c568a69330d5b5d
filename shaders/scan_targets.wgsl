// Counts the kept rows of a block, sums their targets' weights pairwise, and finds its first bad
// target; one workgroup a block of ROW_BLOCK rows. The blocks are the batch's, wherever its windows
// are cut.

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, lane: Lane) {
    let block = flat_index(group);
    if (block * ROW_BLOCK >= params.rows) {
        return;
    }
    let end = min((block + 1u) * ROW_BLOCK, params.rows);
    var acc = Acc(0u, NO_ROW, 0.0);
    var count = 0u;
    for (var row = block * ROW_BLOCK + lane.index; row < end; row += WG_SIZE) {
        let target_index = target_at(row);
        let ignored = target_is_ignored(target_index);
        let is_column = target_is_column(target_index);
        let bad = select(row, NO_ROW, ignored || is_column);
        var weight = 0.0;
        if (is_column && !ignored) {
            weight = class_weight(target_index.x);
        }
        pairwise_push(count, weight);
        count += 1u;
        acc = acc_combine(acc, Acc(select(1u, 0u, ignored), bad, 0.0));
    }
    acc.weight = pairwise_total(count);
    let total = workgroup_reduce(lane, acc);
    if (lane.index == 0u) {
        var found = vec4<u32>(total.kept, NO_ROW, 0u, 0u);
        if (total.bad != NO_ROW) {
            let value = target_at(total.bad);
            found = vec4<u32>(total.kept, params.first_row + total.bad, value.x, value.y);
        }
        let at = 2u * (params.first_block + block);
        scratch[at] = found;
        scratch[at + 1u] = vec4<u32>(bitcast<u32>(total.weight), 0u, 0u, 0u);
    }
}
