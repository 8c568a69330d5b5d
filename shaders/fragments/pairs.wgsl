// The statistics of a teacher's and a student's row, for what needs both before it can begin.

// [rows] of (teacher's max, what makes it a log-probability, student's max, the same)
@group(0) @binding(11) var<storage, read_write> pairs: array<vec4<f32>>;

fn pair_at(row: u32) -> vec4<f32> {
    return pairs[params.pairs_offset + row];
}
