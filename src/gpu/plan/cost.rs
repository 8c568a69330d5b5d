//! How much a dispatch has to do: what bounds its window, beside the device's limits.
//!
//! Counted in elements of matrices that pass, read or written. One row, or one block of row results,
//! is the least that a dispatch can have, and it is short enough: a lane goes through at most
//! [`MAX_WORDS_A_LANE`](super::MAX_WORDS_A_LANE) words, twice, and 56,000 steps that each wait two
//! microseconds for memory are 0.11 s. A row that many workgroups share is at most a binding, 2^29
//! elements of f32; its longest dispatch, which reads and writes it, takes 0.3 s at the 14 GB/s of the
//! slowest cards, and 1.1 s at 4 GB/s.

use super::{Destination, Planner, Problem, ROW_BLOCK, UpstreamRegion};
use crate::gpu::kernel::{Family, Kernel};
use crate::gpu::params::Params;

/// A row is not faster than one of so many elements.
const SHORTEST_ROW: u64 = 32;
/// What a row's results count for: at most sixteen bytes.
const ROW_RESULTS: u64 = 4;

impl Problem {
    /// Matrices that a pass goes through, at most.
    fn matrices_a_pass(&self) -> u64 {
        let by_element = matches!(self.upstream, UpstreamRegion::Elements(_));
        let is_written = self.passes.iter().any(|pass| pass.output != Destination::None);
        let others = [self.second.is_some(), self.factors.is_some(), by_element, is_written];
        1 + others.into_iter().map(u64::from).sum::<u64>()
    }

    /// Elements of all matrices in a row.
    fn row_cost(&self) -> u64 {
        self.matrices_a_pass().saturating_mul(self.classes.max(SHORTEST_ROW))
    }
}

impl Planner<'_> {
    /// Rows that pass within the budget.
    pub(super) fn rows_in_time(&self) -> u64 {
        self.tuning.elements_a_dispatch() / self.problem.row_cost()
    }

    /// Rows in whole blocks whose results pass within the budget.
    pub(super) fn block_rows_in_time(&self) -> u64 {
        let blocks = self.tuning.elements_a_dispatch() / (ROW_BLOCK * ROW_RESULTS);
        blocks.max(1).saturating_mul(ROW_BLOCK)
    }

    pub(super) fn cost(&self, kernel: Kernel, params: &Params) -> u64 {
        let (rows, blocks) = (u64::from(params.rows), u64::from(params.blocks));
        match kernel {
            Kernel::Rows(kernel) if kernel.family == Family::SplitFinish => {
                rows * u64::from(params.splits) * ROW_RESULTS
            }
            // A chunk of a layer's logits, read and written.
            Kernel::Rows(kernel) if kernel.family == Family::SplitColumns && params.columns > 0 => {
                2 * rows * u64::from(params.columns)
            }
            Kernel::TileFinish(_) => rows * u64::from(params.splits) * ROW_RESULTS,
            Kernel::Rows(_) => rows * self.problem.row_cost(),
            // Tiles of logits are swept where they are made, which is a small part of making them.
            Kernel::Product(_) | Kernel::TileSweep(_) => {
                let columns = u64::from(params.columns);
                self.tuning.elements_of(2 * rows * columns * u64::from(params.depth))
            }
            // These are made with their cost.
            Kernel::ColumnSums
            | Kernel::GatherRows
            | Kernel::SpreadRows
            | Kernel::ClearIgnored(_)
            | Kernel::FitParams => 0,
            // A byte for each, beside labels.
            Kernel::MaskLabels { .. } => 2 * rows * self.problem.classes,
            Kernel::JoinEdges
            | Kernel::MaskTargets(_)
            | Kernel::ListKept(_)
            | Kernel::ScanTargets(..)
            | Kernel::SumLoss { .. }
            | Kernel::SumMetrics => rows * ROW_RESULTS,
            // One workgroup that folds the blocks: 16 ms for 2^32 rows, at a microsecond a step.
            Kernel::FinishTargets
            | Kernel::FinishCounts
            | Kernel::FinishSum
            | Kernel::FinishMean
            | Kernel::FinishMetrics => blocks * ROW_RESULTS,
        }
    }
}
