//! Mistakes in sums over rows and over elements.

use super::common::{Subject, sums};
use super::{Mutant, mutant};
use surprisal::gpu::Gpu;

const PAIRWISE: &str = "pairwise";
const LOSSES: &str = "acc_losses";

/// Of a recorded call: the owning device sums for itself.
pub(crate) const RECORDED: &[Mutant] = &[
    mutant("a partial sum forgotten", PAIRWISE, "partial_sums[i] + sum", "sum"),
    mutant("what is left over forgotten", PAIRWISE, "partial_sums[i] + total", "partial_sums[i]"),
    mutant("few partial sums added", PAIRWISE, "i < 32u - countLeadingZeros(count)", "i < 3u"),
    mutant(
        "losses one after the other",
        "sum_loss",
        "pairwise_push(count, stored_loss(row));
        count += 1u;",
        "pairwise_push(0u, select(partial_sums[0], 0.0, count == 0u) + stored_loss(row));
        count = 1u;",
    ),
    mutant(
        "weights one after the other",
        "scan_targets",
        "pairwise_push(count, weight);
        count += 1u;",
        "pairwise_push(0u, select(partial_sums[0], 0.0, count == 0u) + weight);
        count = 1u;",
    ),
    mutant(
        "-log p one after the other",
        "sum_metrics",
        "pairwise_push(count, bitcast<f32>(result.z));
        count += 1u;",
        "pairwise_push(0u, select(partial_sums[0], 0.0, count == 0u) + bitcast<f32>(result.z));
        count = 1u;",
    ),
    mutant(
        "all but the first block forgotten",
        "finish_loss",
        "block < params.blocks",
        "block < 1u",
    ),
    mutant(
        "blocks' weights forgotten",
        "finish_targets",
        "acc.weight = pairwise_total(count)",
        "acc.weight = 0.0",
    ),
    mutant("blocks' -log p forgotten", "finish_metrics", "block < params.blocks", "block < 1u"),
    mutant("the mean not divided", "reduced_mean", "sum / divisor", "sum"),
    mutant("lse summed for loss", "stats_metrics", "+ row].x", "+ row].y"),
    mutant(
        "correct rows not summed",
        "acc_metrics",
        "a.correct + b.correct",
        "max(a.correct, b.correct)",
    ),
];

pub(crate) const OF_A_DEVICE: &[Mutant] = &[
    mutant("what rounding takes forgotten", LOSSES, "(a.lost + b.lost) + lost", "a.lost + b.lost"),
    mutant("what lanes lost forgotten", LOSSES, "(a.lost + b.lost) + lost", "lost"),
    mutant("elements of a word forgotten", LOSSES, "+ (component(x, 2u) + component(x, 3u))", ""),
    mutant(
        "what a row lost kept from the host",
        "row_elements",
        "select(0.0, acc.lost, is_finite(acc.sum))",
        "0.0",
    ),
];

pub(crate) fn recorded_failure(gpu: &Gpu) -> Option<String> {
    [7, 4096, 70_000].into_iter().find_map(|rows| sums::of_a_recorded_call(gpu, rows).err())
}

pub(crate) fn device_failure(gpu: &Gpu) -> Option<String> {
    let subject = Subject::gpu("a mutant", gpu.clone());
    let of_a_row = sums::of_a_row_of_elements(gpu).err();
    of_a_row.or_else(|| sums::of_a_device(&subject, 30_011).err())
}
