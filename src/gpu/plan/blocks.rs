//! Sums over rows, in fixed blocks of them: targets, losses, metrics.

use super::{Bound, FOLD_WORKGROUP, Planner, ROW_BLOCK, Role, SCRATCH_WORD, TargetRegion};
use crate::gpu::fragment::Slot;
use crate::gpu::kernel::{Kernel, Weighting};
use crate::gpu::ops::RowOp;
use crate::gpu::params::{Params, Summary};
use crate::op::Reduction;

/// Lanes that list a block's rows.
const LIST_WORKGROUP: u32 = 64;

impl Planner<'_> {
    /// Rows of up to sixteen bytes that a window of whole blocks can have.
    pub(super) fn block_window_rows(&self) -> u64 {
        let bound = (self.binding_room() / 16 / ROW_BLOCK).max(1) * ROW_BLOCK;
        bound.min(self.block_rows_in_time())
    }

    fn sum_workgroup(&self) -> u32 {
        if self.caps.software { 8.min(self.caps.lanes()) } else { 256.min(self.caps.lanes()) }
    }

    /// Two words for each block.
    fn block_scratch(blocks: u64) -> Bound {
        Bound::new(Slot::Scratch, 0, 2 * blocks.max(1) * SCRATCH_WORD)
    }

    /// The class weights, where there are any.
    pub(super) fn weights(&self) -> Option<Bound> {
        let has = self.problem.loss.weighting.has_buffer();
        has.then(|| Bound::new(Slot::Weights, 0, self.problem.classes * 4))
    }

    pub(super) fn scan_targets(&mut self, targets: TargetRegion, blocks: u64) {
        // Focal loss's mean counts rows; its factors weigh their losses alone.
        let is_weighed = self.problem.loss.weighting != Weighting::None
            && self.problem.passes.iter().any(|pass| pass.op == RowOp::CrossEntropy);
        let weighting = if is_weighed { Weighting::Weights } else { Weighting::None };
        for (bound, params) in self.target_windows(targets) {
            let (groups, size) = (u64::from(params.rows).div_ceil(ROW_BLOCK), self.sum_workgroup());
            let mut available = vec![bound, Self::block_scratch(blocks)];
            available.extend(self.weights());
            let kernel = Kernel::ScanTargets(targets.width, weighting);
            self.push(kernel, size, groups, params, &available);
        }
        self.fold(Kernel::FinishTargets, blocks);
    }

    /// After the scan: which rows are not ignored.
    pub(super) fn list_kept(&mut self) {
        let Some(targets) = self.problem.targets else { return };
        let size = LIST_WORKGROUP.min(self.caps.lanes());
        let list = Bound::new(Slot::Kept, 0, 4 * self.problem.rows.max(1));
        let list = Bound { role: Role::Kept, ..list };
        for (bound, params) in self.target_windows(targets) {
            let available = [bound, Self::block_scratch(self.blocks()), list];
            let groups = u64::from(params.rows).div_ceil(ROW_BLOCK);
            self.push(Kernel::ListKept(targets.width), size, groups, params, &available);
        }
    }

    /// The targets in whole blocks of rows that can be bound, and what a kernel over each is told.
    fn target_windows(&self, targets: TargetRegion) -> Vec<(Bound, Params)> {
        let (width, step) = (targets.width.bytes(), self.block_window_rows());
        let window = |first_row| {
            let rows = step.min(self.problem.rows - first_row);
            let (bound, residual) =
                self.window(Slot::Targets, targets.offset, width, width, [first_row, rows]);
            let params = Params {
                targets_offset: (residual / width) as u32,
                first_row: first_row as u32,
                first_block: (first_row / ROW_BLOCK) as u32,
                ..self.base_params(rows)
            };
            (bound, params)
        };
        (0..self.problem.rows).step_by(step as usize).map(window).collect()
    }

    pub(super) fn sum_losses(&mut self, blocks: u64) {
        let metrics = self.problem.loss.metrics;
        self.sum_rows(Kernel::SumLoss { metrics }, blocks);
        let mean = self.problem.reduction == Reduction::Mean;
        let kernel = if mean { Kernel::FinishMean } else { Kernel::FinishSum };
        self.fold(kernel, blocks);
    }

    pub(super) fn sum_metrics(&mut self, blocks: u64) {
        self.sum_rows(Kernel::SumMetrics, blocks);
        self.fold(Kernel::FinishMetrics, blocks);
    }

    /// A kernel over the results of all rows, by blocks.
    pub(super) fn sum_rows(&mut self, kernel: Kernel, blocks: u64) {
        let (step, bytes) = (self.block_window_rows(), self.problem.stats_row());
        for first_row in (0..self.problem.rows).step_by(step as usize) {
            let rows = step.min(self.problem.rows - first_row);
            // What a whole number of blocks takes is a multiple of any alignment.
            let (bound, _) = self.window(Slot::Stats, 0, bytes, bytes, [first_row, rows]);
            let params =
                Params { first_block: (first_row / ROW_BLOCK) as u32, ..self.base_params(rows) };
            let (groups, size) = (rows.div_ceil(ROW_BLOCK), self.sum_workgroup());
            self.push(kernel, size, groups, params, &[bound, Self::block_scratch(blocks)]);
        }
    }

    pub(super) fn fold(&mut self, kernel: Kernel, blocks: u64) {
        let size = FOLD_WORKGROUP.min(self.caps.lanes());
        let params = Params { blocks: blocks as u32, ..self.base_params(self.problem.rows) };
        let summary = Bound::new(Slot::Summary, 0, Summary::SIZE);
        self.push(kernel, size, 1, params, &[summary, Self::block_scratch(blocks)]);
    }
}
