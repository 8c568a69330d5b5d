//! Which bytes of which buffer a window of rows binds.

use super::{Bound, Destination, EDGES_ROW, PAIRS_ROW, Pass, Planner, Region, UpstreamRegion};
use crate::gpu::caps::Caps;
use crate::gpu::fragment::Slot;
use crate::gpu::params::{Params, Summary};
use crate::op::InputForm;

/// A binding of so many bytes from `start` on, and how many bytes into it they start.
pub(super) fn window(caps: &Caps, slot: Slot, start: u64, bytes: u64) -> (Bound, u64) {
    let residual = start % caps.storage_alignment;
    // A last u32 may be half another's.
    (Bound::new(slot, start - residual, (residual + bytes).next_multiple_of(4)), residual)
}

impl Planner<'_> {
    /// A binding of rows `first..first + rows`, and how many bytes into it the first row starts.
    pub(super) fn window(
        &self,
        slot: Slot,
        offset: u64,
        stride: u64,
        last: u64,
        rows: [u64; 2],
    ) -> (Bound, u64) {
        let bytes = (rows[1] - 1).saturating_mul(stride) + last;
        window(self.caps, slot, offset + rows[0] * stride, bytes)
    }

    pub(super) fn matrix_window(
        &self,
        slot: Slot,
        region: Region,
        rows: [u64; 2],
    ) -> (Bound, u32, u32) {
        let row_bytes = region.bytes(self.problem.classes);
        let (stride, grain) = (region.bytes(region.row_stride), region.bytes(self.word.grain()));
        let (bound, residual) = self.window(slot, region.offset, stride, row_bytes, rows);
        (bound, (residual / grain) as u32, (stride / grain) as u32)
    }

    /// What the kernels of a pass can bind, and where their parts of it start.
    pub(super) fn bind(&self, pass: &Pass, first_row: u64, rows: u64) -> (Params, Vec<Bound>) {
        let mut params = self.base_params(rows);
        let mut available = Vec::new();
        let (range, held) = ([first_row, rows], [first_row - self.held.first, rows]);
        let results = [first_row - self.results.first, rows];
        let problem = self.problem;
        let (bound, offset, stride) = self.matrix_window(Slot::Input, problem.input, held);
        available.push(bound);
        (params.input_offset, params.input_stride) = (offset, stride);
        if let Some(region) = problem.second {
            let (bound, offset, stride) = self.matrix_window(Slot::Second, region, held);
            available.push(bound);
            (params.second_offset, params.second_stride) = (offset, stride);
        }
        if let Some(region) = problem.factors {
            let (bound, offset, stride) = self.matrix_window(Slot::Factors, region, held);
            available.push(bound);
            (params.factors_offset, params.factors_stride) = (offset, stride);
        }
        if let Destination::Separate(region) = pass.output {
            let (bound, offset, stride) = self.matrix_window(Slot::Output, region, held);
            available.push(Bound { role: pass.role, ..bound });
            (params.output_offset, params.output_stride) = (offset, stride);
        }
        if let Some(targets) = problem.targets {
            let width = targets.width.bytes();
            let (bound, residual) = self.window(Slot::Targets, targets.offset, width, width, range);
            available.push(bound);
            params.targets_offset = (residual / width) as u32;
        }
        if problem.is_counted() {
            available.push(Bound::new(Slot::Summary, 0, Summary::SIZE));
        }
        if let Some(mask) = problem.element_mask {
            let (bound, residual) =
                self.window(Slot::Mask, mask.offset, mask.row_stride, problem.classes, held);
            available.push(bound);
            (params.mask_offset, params.mask_stride) = (residual as u32, mask.row_stride as u32);
        }
        match problem.upstream {
            UpstreamRegion::Scalar(_) => {}
            UpstreamRegion::Rows(offset) => {
                let (bound, residual) = self.window(Slot::Dloss, offset, 4, 4, held);
                available.push(bound);
                params.dloss_offset = (residual / 4) as u32;
            }
            UpstreamRegion::Elements(region) => {
                let (bound, offset, stride) = self.matrix_window(Slot::Dloss, region, held);
                available.push(bound);
                (params.dloss_offset, params.dloss_stride) = (offset, stride);
            }
        }
        let stats_row = problem.stats_row();
        let (bound, residual) = self.window(Slot::Stats, 0, stats_row, stats_row, results);
        available.push(bound);
        params.stats_offset = (residual / stats_row) as u32;
        let (bound, residual) = self.window(Slot::Pairs, 0, PAIRS_ROW, PAIRS_ROW, held);
        available.push(bound);
        params.pairs_offset = (residual / PAIRS_ROW) as u32;
        let (bound, residual) = self.window(Slot::Edges, 0, EDGES_ROW, EDGES_ROW, held);
        available.push(bound);
        params.edges_offset = (residual / EDGES_ROW) as u32;
        available.extend(self.weights());
        // An index target of normalised input is all that its row is read for.
        let reads_all = !pass.op.has_index_targets()
            || problem.loss.metrics
            || problem.loss.form == InputForm::Logits;
        params.first_row = first_row as u32;
        params.swept_words = if reads_all { params.words } else { 0 };
        (params, available)
    }
}
