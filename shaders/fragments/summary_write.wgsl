// The summary, for the kernels that make it.

@group(0) @binding(6) var<storage, read_write> summary: Summary;
