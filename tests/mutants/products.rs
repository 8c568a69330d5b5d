//! Mistakes in products of matrices, and in what a linear layer's cross-entropy makes of them.

use super::{Mutant, mutant};
use crate::common::Subject;
use crate::common::kept::{Choice, PLAIN, check as check_kept};
use crate::common::linear::{Layer, check as check_layer};
use crate::common::products::{Case, FORMS, check};
use surprisal::gpu::{Gpu, Start};
use surprisal::{CrossEntropy, Dtype, LinearCrossEntropy};

const TILE: &str = "product_tile";
const SWEEP: &str = "tile_sweep";

pub(crate) const PRODUCTS: &[Mutant] = &[
    mutant("one step of the depth too few", TILE, "step < TILE_DEPTH", "step < TILE_DEPTH - 1u"),
    mutant("one block of a tile too few", TILE, "i < DEPTH_WORDS * ROW_WORDS", "i < ROW_WORDS"),
    mutant(
        "columns past the depth",
        TILE,
        "columns < vec4<u32>(shape.y)",
        "columns >= vec4<u32>()",
    ),
    mutant(
        "a factor's row for another",
        TILE,
        "vec4<f32>(left.w), right",
        "vec4<f32>(left.z), right",
    ),
    mutant("sums forgotten", TILE, "right, sums[2])", "right, vec4<f32>())"),
    mutant(
        "a block not transposed",
        "right_upright",
        "return transpose(mat4x4<f32>(",
        "return (mat4x4<f32>(",
    ),
    mutant("halves without their odd starts", "right_halves", "(first & 1u) * 16u", "0u"),
    mutant("the third u32", "left_halves", "left[at + 2u] << 1u", "left[at + 1u] << 1u"),
    mutant("no bias", "start_bias", "bias[at.z]", "0.0"),
    mutant("a start forgotten", "start_stored", "stored_four(row, column)", "vec4<f32>()"),
    mutant(
        "written past the last column",
        "product_f32",
        "i < 4u && column + i < params.columns",
        "i < 4u",
    ),
    mutant(
        "another lane's block",
        "sums_four",
        "first.y + 4u * LANES_ACROSS, sums[1]",
        "first.y + 4u * LANES_ACROSS, sums[0]",
    ),
];

pub(crate) const LAYERS: &[Mutant] = &[
    mutant("windows of classes that begin anew", SWEEP, "params.continued != 0u", "false"),
    mutant("a stripe's neighbour", SWEEP, "index % stripes", "0u"),
    mutant("the first class of a tile", SWEEP, "word = column + part", "word = column + part + 1u"),
    mutant(
        "classes past the last",
        SWEEP,
        "min(column + TILE_COLUMNS, params.columns)",
        "column + TILE_COLUMNS",
    ),
    mutant("classes counted from a window", SWEEP, "= params.first_column + word", "= word"),
    mutant("no target's logit", SWEEP, "target_column < end", "target_column > end"),
    mutant("targets counted from a window", SWEEP, ".x - params.first_column", ".x"),
    mutant(
        "another row's tile",
        "logits_tile",
        "return logits[at.row % TILE_ROWS",
        "return logits[(at.row + 1u) % TILE_ROWS",
    ),
    mutant("another target", "target_logit", "scratch_coef(at.row)", "scratch_coef(0u)"),
    mutant("a bias's gradient begun anew", "column_sums", "params.continued != 0u", "false"),
    mutant("rows too few", "column_sums", "row < params.rows", "row + 1u < params.rows"),
];

pub(crate) fn product_failure(gpu: &Gpu) -> Option<String> {
    for dtype in [Dtype::F32, Dtype::Bf16] {
        for form in FORMS {
            for start in [Start::Zero, Start::Bias, Start::Stored] {
                for (shape, gaps) in [([35, 67, 37], [3, 1]), ([33, 64, 20], [0, 0])] {
                    let case = Case { start, gaps, ..Case::new(form, shape, dtype) };
                    if let Err(failure) = check(gpu, &case) {
                        return Some(failure);
                    }
                }
            }
        }
    }
    None
}

pub(crate) fn layer_failure(gpu: &Gpu) -> Option<String> {
    let mut caps = gpu.caps().clone();
    caps.max_binding_bytes = 20_000;
    let layer = Layer::new(70, 33, 517, Dtype::F32);
    let loss = CrossEntropy::new()
        .with_label_smoothing(0.1)
        .with_class_weights((0..517).map(|j| 0.5 + f64::from(j % 3)))
        .with_metrics();
    let op = LinearCrossEntropy::new(loss).with_scratch_bytes(4 * 517 * 20);
    let subject = Subject::gpu("in windows", gpu.with_caps(caps));
    let ops = [op.clone(), op.with_gradient()];
    ops.iter().find_map(|op| check_layer(&subject, &layer, op).err())
}

const LIST_KEPT: &str = "list_kept";
const GATHER: &str = "gather_rows";
const FIT: &str = "fit_params";

pub(crate) const KEPT: &[Mutant] = &[
    mutant(
        "the first block's rows listed over the next's",
        LIST_KEPT,
        "place += counted[other].y",
        "place += 0u",
    ),
    mutant("a lane's rows listed over the next's", LIST_KEPT, "other < lane)", "false)"),
    mutant(
        "rows listed as they come in their block",
        LIST_KEPT,
        "params.first_row + row;",
        "row - block * ROW_BLOCK;",
    ),
    mutant(
        "ignored rows listed",
        LIST_KEPT,
        "!target_is_ignored(target_at(row))",
        "row % 7u != 2u",
    ),
    mutant("places counted from each chunk's first", "kept", "params.first_row + place", "place"),
    mutant(
        "rows counted from the batch's first in every window",
        "kept",
        " - params.window_row",
        "",
    ),
    mutant(
        "a window's last row not gathered",
        GATHER,
        "row >= params.window_rows",
        "row + 1u >= params.window_rows",
    ),
    mutant(
        "a window's last row not spread",
        "spread_rows",
        "row < params.window_rows",
        "row + 1u < params.window_rows",
    ),
    mutant("half u32s not shifted", GATHER, "(start & 1u) * 16u", "0u"),
    mutant("a row's second half from its own u32", GATHER, "source[at + 1u] <<", "source[at] <<"),
    mutant(
        "rows spread without gaps",
        "spread_rows",
        "row * params.output_stride",
        "row * params.words",
    ),
    mutant(
        "ignored rows left as they are",
        "clear_ignored",
        "rows[at] = select(0u",
        "rows[at] = select(rows[at]",
    ),
    mutant(
        "ignored rows with a best column",
        "clear_ignored",
        "word + 1u == params.words",
        "false",
    ),
    mutant(
        "a chunk too many",
        FIT,
        "min(limit.first, summary.kept_rows)",
        "min(limit.first, summary.kept_rows - 1u)",
    ),
    mutant("all rows of every chunk", FIT, "min(rows, limit.most)", "limit.most"),
    mutant("nothing added to what is stored", FIT, "rows == 0u", "true"),
];

/// Chunks and windows, rows in the middle of u32s, and blocks of which little is kept.
pub(crate) fn kept_failure(gpu: &Gpu) -> Option<String> {
    let mut caps = gpu.caps().clone();
    caps.max_binding_bytes = 220_000;
    let gpu = gpu.with_caps(caps);
    let narrow = Choice { dtype: Dtype::F16, gradient: false, ..PLAIN };
    let checks = [
        check_kept(&gpu, PLAIN, |row| row % 7 != 3),
        check_kept(&gpu, narrow, |row| row > 4500 || row % 1000 == 999),
    ];
    checks.into_iter().find_map(Result::err)
}
