// Numbers of a call, and where its matrices start.

// == params
// Per-call numbers of the row kernels, and where each matrix starts inside its binding.

// Same fields, same order as Params in src/gpu/params.rs; a test compares the offsets.
struct Params {
    rows: u32,              // rows in this window
    classes: u32,
    words: u32,             // words a row: classes / WIDTH, rounded up
    grid_width: u32,        // workgroups along x; the grid is folded into two dimensions
    input_offset: u32,      // in words, or in elements if 16-bit rows start anywhere
    input_stride: u32,
    second_offset: u32,
    second_stride: u32,
    output_offset: u32,
    output_stride: u32,
    stats_offset: u32,      // in rows, like the two below
    targets_offset: u32,
    dloss_offset: u32,
    splits: u32,            // pieces a row is cut into, by the split kernels alone
    split_words: u32,       // words a piece
    ignore_used: u32,       // 1 if some target value means "skip this row"
    ignore_low: u32,        // that value, as the two halves of an i64
    ignore_high: u32,
    upstream: f32,          // the scalar upstream gradient
    // WGSL has no literal for these two, and constant expressions may not produce them.
    nan: f32,
    infinity: f32,
    first_row: u32,         // of the batch, in this window
    first_block: u32,       // of the batch, in this window, counted in scratch words
    blocks: u32,            // in the whole batch
    smooth_target: f32,     // 1 - e, with label smoothing e
    smooth_class: f32,      // e / classes
    weight_sum: f32,        // of all class weights
    z_loss: f32,
    logit_scale: f32,       // of logits, no more than 1 unless there is a softcap
    z_scale: f32,           // of distances between them: what is above 1 of the scale
    softcap: f32,           // 0: none
    normalizer: f32,        // what a mean divides by instead of the total weight; 0: none
    swept_words: u32,       // words of a row that its sweep reads: all, or none
    unit: f32,              // of the loss, a nat
    clamp: f32,             // the least probability that is told from none
    gamma: f32,             // focal loss's exponent
    delta: f32,             // where Huber's parabola becomes a line
    label_scale: f32,       // label_scale y + label_offset: the probability that a label stands for
    label_offset: f32,
    focal_one: f32,         // the factor of an element that is 1
    focal_zero: f32,        // and of one that is 0
    factors_offset: u32,    // as input_offset, like the two strides
    factors_stride: u32,
    dloss_stride: u32,      // of an upstream gradient for each element
    pairs_offset: u32,      // in rows, like the one below
    edges_offset: u32,
    columns: u32,           // of a product, or of a window of classes
    depth: u32,             // elements that a product sums, for each of its own
    bias_offset: u32,
    first_column: u32,      // of the classes, in a window of them; input_offset counts from class 0
    continued: u32,         // 1: pieces of rows go on from where a window before left them
    window_row: u32,        // of the batch, the first that is bound, where rows are moved
    window_rows: u32,       // how many are bound
    last_word: u32,         // of a row that is ignored
    mask_offset: u32,       // in bytes, a byte for each row or element
    mask_stride: u32,
    ignored_label: f32,     // the label of elements that do not count
    zero: u32,              // 0, which no compiler knows
    mix_teacher: f32,       // the teacher's share in a mixture, beta
    mix_student: f32,       // and the student's, 1 - beta
    mix_log_teacher: f32,   // -log beta
    mix_log_student: f32,   // -log(1 - beta)
    mix_shift: f32,         // log((1 - beta) / beta)
    weight: f32,            // of all classes, where it is one number
}

@group(0) @binding(0) var<uniform> params: Params;

// Lanes a workgroup, a power of two.
override WG_SIZE: u32 = 64u;

// Rows a block in the sums over rows: fixed, so that a sum's bits do not depend on the windows.
const ROW_BLOCK: u32 = 4096u;

fn flat_index(group: vec3<u32>) -> u32 {
    return group.y * params.grid_width + group.x;
}

// == starts
// Where a row lies in each matrix, found once for all its words: in words, or in elements where
// rows of 16 bits start anywhere.

struct Starts {
    row: u32,
    input: u32,
    output: u32,
    second: u32,
    factors: u32,
    dloss: u32,
    mask: u32,      // in bytes
}

fn starts_of(row: u32) -> Starts {
    return Starts(
        row,
        params.input_offset + row * params.input_stride,
        params.output_offset + row * params.output_stride,
        params.second_offset + row * params.second_stride,
        params.factors_offset + row * params.factors_stride,
        params.dloss_offset + row * params.dloss_stride,
        params.mask_offset + row * params.mask_stride);
}
