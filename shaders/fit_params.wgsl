// Fits the numbers of later dispatches to the rows that are kept; one lane a number.

@group(0) @binding(6) var<uniform> summary: Summary;
@group(0) @binding(15) var<storage, read> limits: array<Limit>;
@group(0) @binding(16) var<storage, read_write> fitted: array<u32>;    // their params

struct Limit {
    at: u32,          // where the number stands, counted from the params of the first of them
    first: u32,       // the first place among the kept rows that it counts
    most: u32,        // what it is if there are rows enough
    is_whole: u32,    // 1: most, or 0 where no row is left
}

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = flat_index(group) * WG_SIZE + lane;
    if (index >= params.rows) {
        return;
    }
    let limit = limits[params.input_offset + index];
    let rows = summary.kept_rows - min(limit.first, summary.kept_rows);
    let whole = select(limit.most, 0u, rows == 0u);
    let number = select(min(rows, limit.most), whole, limit.is_whole == 1u);
    fitted[limit.at - params.output_offset] = number;
}
