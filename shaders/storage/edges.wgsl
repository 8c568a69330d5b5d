// Rows of 16-bit elements that share a u32.

// == edges
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

// == store_ragged
// Packs a word's elements into the two u32s that it fills, or into the edges what it fills of one.

fn store_first(at: Starts, value: f32) {
    edges[first_edge(at.row)] = pack_halves(Values(value)).x & 0xffffu;
}

fn store_output(at: Starts, word: u32, values: Values) {
    let halves = pack_halves(values);
    let left = params.classes - start_column(word);
    let pair = (output_start(at) + start_column(word)) / 2u;
    if (left >= 2u) {
        write_output(pair, halves.x);
    }
    if (left >= 4u) {
        write_output(pair + 1u, halves.y);
    }
    if (left == 1u || left == 3u) {
        edges[last_edge(at.row)] = select(halves.y, halves.x, left == 1u) & 0xffffu;
    }
}
