// Sums what metrics are made of over a block of ROW_BLOCK rows pairwise, in a fixed order; one
// workgroup a block.

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, lane: Lane) {
    let block = flat_index(group);
    if (block * ROW_BLOCK >= params.rows) {
        return;
    }
    let end = min((block + 1u) * ROW_BLOCK, params.rows);
    var count = 0u;
    var correct = 0u;
    for (var row = block * ROW_BLOCK + lane.index; row < end; row += WG_SIZE) {
        let result = stats[params.stats_offset + row];
        pairwise_push(count, bitcast<f32>(result.z));
        count += 1u;
        correct += result.w >> 31u;
    }
    let total = workgroup_reduce(lane, Acc(pairwise_total(count), correct));
    if (lane.index == 0u) {
        scratch[params.first_block + block] =
            vec4<u32>(bitcast<u32>(total.nll), total.correct, 0u, 0u);
    }
}
