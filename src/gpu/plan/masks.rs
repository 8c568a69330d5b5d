//! What comes before everything else where some rows, or some elements, do not count: a mask of rows is
//! made into targets, labels into a mask of elements; and what a mean divides by is counted.

use super::bind::window;
use super::{
    Bound, Destination, ElementMask, LabelMask, Pass, Planner, Role, RowMask, TargetRegion,
};
use crate::gpu::fragment::Slot;
use crate::gpu::kernel::{Kernel, TargetType};
use crate::gpu::ops::RowOp;
use crate::gpu::params::Params;

/// Lanes a workgroup.
const LANES: u32 = 64;

impl Planner<'_> {
    pub(super) fn masked_targets_bytes(&self) -> u64 {
        self.problem.row_mask.map_or(0, |_| self.problem.rows * TargetType::I64.bytes())
    }

    pub(super) fn made_mask_bytes(&self) -> u64 {
        let made = self.problem.element_mask.filter(|mask| mask.labels.is_some());
        made.map_or(0, |mask| self.problem.rows * mask.row_stride)
    }

    pub(super) fn make_masks(&mut self) {
        if let (Some(mask), Some(targets)) = (self.problem.row_mask, self.problem.targets) {
            self.mask_targets(mask, targets);
        }
        if let Some(mask) = self.problem.element_mask
            && let Some(labels) = mask.labels
        {
            self.mask_labels(mask, labels);
        }
    }

    /// Lanes of a dispatch of workgroups of a size, in a grid of two dimensions.
    fn lanes_in_grid(&self, size: u32) -> u64 {
        u64::from(self.caps.max_workgroups).pow(2).saturating_mul(size.into())
    }

    /// Targets from a mask, and from the caller's targets if there are any.
    fn mask_targets(&mut self, mask: RowMask, masked: TargetRegion) {
        let (caps, size) = (self.caps, LANES.min(self.caps.lanes()));
        let step = self.block_window_rows().min(self.lanes_in_grid(size));
        for first_row in (0..self.problem.rows).step_by(step as usize) {
            let rows = step.min(self.problem.rows - first_row);
            let (bytes, at) = window(caps, Slot::Mask, mask.offset + first_row, rows);
            let width = masked.width.bytes();
            let (output, at_output) =
                window(caps, Slot::Output, masked.offset + first_row * width, rows * width);
            let output = Bound { role: Role::Slot(Slot::Targets), ..output };
            let mut params = Params {
                mask_offset: at as u32,
                output_offset: (at_output / width) as u32,
                ignore_used: 0,
                ..self.base_params(rows)
            };
            let mut available = vec![bytes, output];
            if let Some(own) = mask.targets {
                let width = own.width.bytes();
                let start = own.offset + first_row * width;
                let (bound, at) = window(caps, Slot::Targets, start, rows * width);
                available.push(Bound { role: Role::OwnTargets, ..bound });
                params.targets_offset = (at / width) as u32;
                params.ignore_used = own.ignore_index.is_some().into();
            }
            let kernel = Kernel::MaskTargets(mask.targets.map(|own| own.width));
            self.push(kernel, size, rows.div_ceil(size.into()), params, &available);
        }
    }

    /// A mask of elements from their labels, and from the caller's mask if there is one.
    fn mask_labels(&mut self, made: ElementMask, labels: LabelMask) {
        let Some(region) = self.problem.second else { return };
        let (caps, size) = (self.caps, LANES.min(self.caps.lanes()));
        let (classes, words) = (self.problem.classes, made.row_stride / 4);
        // A lane a word of the mask.
        let step = self.window_rows.min((self.lanes_in_grid(size) / words).max(1));
        for first_row in (0..self.problem.rows).step_by(step as usize) {
            let rows = step.min(self.problem.rows - first_row);
            let (second, offset, stride) =
                self.matrix_window(Slot::Second, region, [first_row, rows]);
            let start = made.offset + first_row * made.row_stride;
            let (output, at_output) = window(caps, Slot::Output, start, rows * made.row_stride);
            let mut available = vec![second, Bound { role: Role::Slot(Slot::Mask), ..output }];
            let mut params = Params {
                second_offset: offset,
                second_stride: stride,
                output_offset: (at_output / 4) as u32,
                columns: words as u32,
                ignored_label: labels.ignored,
                ..self.base_params(rows)
            };
            if let Some(start) = labels.mask {
                let start = start + first_row * classes;
                let (bound, at) = window(caps, Slot::Mask, start, rows * classes);
                available.push(Bound { role: Role::OwnMask, ..bound });
                (params.mask_offset, params.mask_stride) = (at as u32, classes as u32);
            }
            let kernel = Kernel::MaskLabels { word: self.word, masked: labels.mask.is_some() };
            self.push(kernel, size, (rows * words).div_ceil(size.into()), params, &available);
        }
    }

    /// How many elements count, for a mean, where only the device knows.
    pub(super) fn count_elements(&mut self) {
        if !self.problem.element_mask.is_some_and(|mask| mask.is_counted) {
            return;
        }
        let role = Role::Slot(Slot::Output);
        let pass = Pass { op: RowOp::ElementCounts, output: Destination::None, role };
        for first_row in (0..self.problem.rows).step_by(self.window_rows as usize) {
            let rows = self.window_rows.min(self.problem.rows - first_row);
            self.row_steps(&pass, first_row, rows);
        }
        self.sum_rows(Kernel::SumLoss { metrics: false }, self.blocks());
        self.fold(Kernel::FinishCounts, self.blocks());
    }
}
