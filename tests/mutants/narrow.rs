//! Mistakes in how 16-bit elements are read, rounded and stored, and what shows them.

use super::common::bits::rounding;
use super::common::cases::{Case, Family};
use super::common::suite::{self, Outcome};
use super::common::{Subject, losses};
use super::{Mutant, mutant};
use surprisal::{BinaryCrossEntropy, CrossEntropy, Dtype, Reduction};

const HALVES: &str = "word_halves";
const F16: &str = "halves_f16";
const BF16: &str = "halves_bf16";
const STORE: &str = "store_ragged";

/// By the type that shows them.
pub(crate) const NARROW: &[(Dtype, Mutant)] = &[
    (Dtype::F16, mutant("a half not shifted down", HALVES, "& 1u) * 16u", "& 1u) * 0u")),
    (Dtype::Bf16, mutant("a third u32 not reached", HALVES, "1u + (first & 1u)", "1u")),
    (
        Dtype::F16,
        mutant(
            "an element of the next row",
            HALVES,
            "< Columns(params.classes)",
            "<= Columns(params.classes)",
        ),
    ),
    (Dtype::F16, mutant("last words taken whole", HALVES, "+ WIDTH <= params", "<= params")),
    (Dtype::Bf16, mutant("words in the wrong place", HALVES, "word << 2u", "word << 1u")),
    (
        Dtype::Bf16,
        mutant("one u32 twice", "word_halves_x4", "unpack_halves(word.y)", "unpack_halves(word.x)"),
    ),
    (Dtype::F16, mutant("a neighbour's half written", STORE, "left >= 2u", "left >= 1u")),
    (Dtype::F16, mutant("no third element", STORE, "left == 1u || left == 3u", "left == 1u")),
    (
        Dtype::Bf16,
        mutant("the wrong last element", STORE, "halves.y, halves.x,", "halves.x, halves.y,"),
    ),
    (
        Dtype::Bf16,
        mutant("edges of one row", "edges", "params.edges_offset + row", "params.edges_offset"),
    ),
    (Dtype::F16, mutant("the second column first", "columns_ragged", "0u).x", "0u).y")),
    (
        Dtype::F16,
        mutant(
            "rows that start anywhere not shifted",
            "columns_ragged",
            "& 1u) << 31u",
            "& 0u) << 31u",
        ),
    ),
    (
        Dtype::F16,
        mutant("a neighbour's half lost", "join_edges", "output[start / 2u] & 0xffffu", "0u"),
    ),
    (Dtype::Bf16, mutant("an upper half below", "join_edges", "<< 16u", "<< 0u")),
    (
        Dtype::Bf16,
        mutant("last elements not joined", "join_edges", "row > 0u", "row > params.rows"),
    ),
    (Dtype::F16, mutant("f16 cut off", F16, "+ 0xfffu +", "+")),
    (
        Dtype::F16,
        mutant("f16 rounded up at ties", F16, "+ 0xfffu +", "+ 0x1000u - (size & vec4<u32>(0u)) +"),
    ),
    (Dtype::F16, mutant("f16 swapped", F16, "halves.xz | (halves.yw", "halves.yw | (halves.xz")),
    (
        Dtype::F16,
        mutant(
            "f16 without subnormals",
            F16,
            "select(normal, subnormal,",
            "select(normal, vec4<u32>(0u),",
        ),
    ),
    (
        Dtype::F16,
        mutant(
            "f16 subnormals cut off",
            F16,
            "(vec4<u32>(1u) << (shift - 1u)) - 1u + odd",
            "vec4<u32>(0u)",
        ),
    ),
    (
        Dtype::F16,
        mutant("f16 bounded", F16, "vec4<u32>(0x7c00u), size", "vec4<u32>(0x7bffu), size"),
    ),
    (
        Dtype::F16,
        mutant("f16 without NaN", F16, "select(bounded, quiet_nan", "select(bounded, bounded"),
    ),
    (Dtype::F16, mutant("f16 without a sign", F16, "vec4<u32>(0x8000u)", "vec4<u32>(0u)")),
    (
        Dtype::Bf16,
        mutant("bf16 cut off", BF16, "(bits + 0x7fffu + (upper & vec4<u32>(1u)))", "bits"),
    ),
    (Dtype::Bf16, mutant("bf16 rounded up at ties", BF16, "(upper & vec4<u32>(1u))", "1u")),
    (Dtype::Bf16, mutant("bf16 swapped", BF16, "halves.xz | (halves.yw", "halves.yw | (halves.xz")),
    (
        Dtype::Bf16,
        mutant(
            "bf16 NaN carried over",
            BF16,
            "select(nearest_even, upper",
            "select(nearest_even, nearest_even",
        ),
    ),
    (
        Dtype::F16,
        mutant(
            "half of a second word",
            "second_input_ragged",
            "second[pairs.z]",
            "second[pairs.x]",
        ),
    ),
    (
        Dtype::F16,
        mutant("half of the factors", "factors_ragged", "factors[pairs.y]", "factors[pairs.x]"),
    ),
    (
        Dtype::Bf16,
        mutant("a neighbour's weight", "weights_ragged", "weights[at.y]", "weights[at.x]"),
    ),
    (
        Dtype::Bf16,
        mutant(
            "a neighbour's upstream",
            "upstream_elements_ragged",
            "dloss[places.w]",
            "dloss[places.z]",
        ),
    ),
    (
        Dtype::Bf16,
        mutant("nothing from above", "column_element", "upstream_of(at, word) *", "1.0 *"),
    ),
    (
        Dtype::F16,
        mutant("one loss a word", "io_losses_ragged", "output[first + i]", "output[first]"),
    ),
    (
        Dtype::F16,
        mutant("losses of one row", "io_losses", "at.output + word", "params.output_offset + word"),
    ),
    (
        Dtype::F16,
        mutant(
            "a masked maximum",
            "acc_row_stat",
            "select(before.max, after.max, mask)",
            "after.max",
        ),
    ),
    (
        Dtype::F16,
        mutant(
            "losses behind a row's last element",
            "acc_losses",
            "select(Values(0.0), after.last, mask)",
            "after.last",
        ),
    ),
    (
        Dtype::F16,
        mutant("a masked sum", "acc_sum", "select(before.sum, after.sum, mask)", "after.sum"),
    ),
    (
        Dtype::F16,
        mutant(
            "a masked weight",
            "acc_weighted",
            "select(before.weight, after.weight, mask)",
            "after.weight",
        ),
    ),
    (
        Dtype::F16,
        mutant(
            "a masked rank",
            "acc_labels",
            "select(before.rank, after.rank, mask)",
            "after.rank",
        ),
    ),
];

/// What a device gets wrong in a type, if anything.
pub(crate) fn narrow_failure(subject: &Subject, dtype: Dtype) -> Option<String> {
    rounding(&subject.device, dtype).and_then(|()| rows(subject, dtype)).err()
}

fn rows(subject: &Subject, dtype: Dtype) -> Outcome {
    for (rows, classes) in [(13, 3), (9, 64), (9, 33), (11, 34), (3, 1031)] {
        for family in [Family::Normal, Family::Confident, Family::Sorted, Family::Masked] {
            let case = family.case(rows, classes, 81).in_dtype(dtype);
            suite::check(subject, &case)?;
            let sound = losses::without_ignored(family.case(rows, classes, 81)).in_dtype(dtype);
            options(subject, &sound)?;
        }
    }
    Ok(())
}

fn options(subject: &Subject, case: &Case) -> Outcome {
    let q = losses::labels(case, 82);
    // Factors of elements: as good as any others.
    let factors: Vec<f32> = q.iter().rev().copied().collect();
    let weights: Vec<f64> = (0..case.classes).map(|j| 0.5 + (j % 3) as f64).collect();
    let op = CrossEntropy::new().with_class_weights(weights.clone());
    losses::cross_entropy(subject, case, Some(&q), &op)?;
    losses::cross_entropy(subject, case, Some(&q), &op.clone().with_metrics())?;
    suite::with_options(subject, case, &op.with_label_smoothing(0.2))?;
    let op = BinaryCrossEntropy::new().with_reduction(Reduction::None);
    losses::elementwise(subject, case, (&q, Some(&factors)), &op)?;
    let op = op.with_pos_weight(weights);
    losses::elementwise(subject, case, (&q, None), &op)?;
    losses::elementwise(subject, case, (&q, None), &op.with_reduction(Reduction::Mean))
}
