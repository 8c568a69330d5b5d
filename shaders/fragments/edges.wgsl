// Rows of 16-bit elements may share a u32. No row writes one that is not all its own: what belongs
// into the others is left here, and join_edges puts the halves together when all rows are written.

// [rows] of the first element, if it stands in an upper half, and the last, if in a lower
@group(0) @binding(12) var<storage, read_write> edges: array<u32>;

fn first_edge(row: u32) -> u32 {
    return 2u * (params.edges_offset + row);
}

fn last_edge(row: u32) -> u32 {
    return first_edge(row) + 1u;
}
