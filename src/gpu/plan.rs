//! From a problem to the dispatches that solve it: pure data, no wgpu handle, testable against any
//! limits without a GPU.
//!
//! For tests, tools and the curious: unlike the rest of the crate, what stands here may change in any
//! release.

use crate::error::{Error, Result};
use crate::gpu::caps::{Caps, Tuning};
use crate::gpu::fragment::Slot;
use crate::gpu::kernel::{
    Chain, Columns, Family, Kernel, RowKernel, RowOp, TargetType, UpstreamFrom, Weighting, Word,
};
use crate::gpu::params::{Params, Summary};
use crate::op::Reduction;

/// Rows a block in the sums over rows; `ROW_BLOCK` of `params.wgsl`.
pub const ROW_BLOCK: u64 = 4096;
/// Lanes that fold the blocks.
const FOLD_WORKGROUP: u32 = 64;
/// Words of a row that one lane handles at most. llvmpipe ends every loop once an invocation has
/// gone through 65,535 iterations, all its loops together, and a lane goes through its words twice.
pub const MAX_WORDS_A_LANE: u64 = 28_000;
/// Bytes a word of scratch.
const SCRATCH_WORD: u64 = 16;
/// Bytes a row of stats.
const STATS_ROW: u64 = 8;

/// Where a matrix of f32 lies in its buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Bytes from the buffer's start.
    pub offset: u64,
    /// Elements from one row to the next.
    pub row_stride: u64,
}

/// Index targets in a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetRegion {
    /// Bytes from the buffer's start.
    pub offset: u64,
    /// Their width.
    pub width: TargetType,
    /// The value that marks a row to be skipped.
    pub ignore_index: Option<i64>,
}

/// Where columns go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Destination {
    /// Nowhere: they are not asked for.
    None,
    /// Over the input.
    InPlace,
    /// To a matrix of their own.
    Separate(Region),
}

/// The upstream gradient.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum UpstreamRegion {
    /// One number.
    Scalar(f32),
    /// A number for each row, this many bytes from the buffer's start.
    Rows(u64),
}

/// The options of a cross-entropy that are numbers for the shaders.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossNumbers {
    /// Which options concern single classes.
    pub weighting: Weighting,
    /// What happens to logits first.
    pub chain: Chain,
    /// e, the label smoothing.
    pub label_smoothing: f32,
    /// The sum of all class weights.
    pub weight_sum: f32,
    /// The factor of lse^2.
    pub z_loss: f32,
    /// The factor of the logits.
    pub logit_scale: f32,
    /// The bound of the logits; 0 for none.
    pub softcap: f32,
    /// What a mean divides by instead of the total weight; 0 for none.
    pub normalizer: f32,
}

impl Default for LossNumbers {
    /// Plain cross-entropy.
    fn default() -> Self {
        Self {
            weighting: Weighting::None,
            chain: Chain::None,
            label_smoothing: 0.0,
            weight_sum: 0.0,
            z_loss: 0.0,
            logit_scale: 1.0,
            softcap: 0.0,
            normalizer: 0.0,
        }
    }
}

/// What is to be computed, with everything that the plan depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// The operation.
    pub op: RowOp,
    /// Rows of every matrix.
    pub rows: u64,
    /// Columns of every matrix.
    pub classes: u64,
    /// The logits, or the forward's result.
    pub input: Region,
    /// The gradient with respect to the forward's result.
    pub second: Option<Region>,
    /// Where columns go.
    pub output: Destination,
    /// The targets of a cross-entropy.
    pub targets: Option<TargetRegion>,
    /// The upstream gradient.
    pub upstream: UpstreamRegion,
    /// How losses are reduced; `None` where there are none.
    pub reduction: Reduction,
    /// The other options of a cross-entropy.
    pub loss: LossNumbers,
}

/// A buffer bound to a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// Which.
    pub slot: Slot,
    /// Bytes from the buffer's start, a multiple of the device's alignment.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
}

/// One dispatch.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What runs.
    pub kernel: Kernel,
    /// Lanes a workgroup.
    pub workgroup_size: u32,
    /// Workgroups along x and y.
    pub grid: [u32; 2],
    /// Its numbers.
    pub params: Params,
    /// What it binds besides its params.
    pub bindings: Vec<Bound>,
}

/// The dispatches of a call, in order, and the buffers that they need besides the caller's.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The dispatches.
    pub steps: Vec<Step>,
    /// Bytes of the buffer with (loss, lse) of each row, 0 if there are none.
    pub stats_bytes: u64,
    /// Bytes of the buffer of intermediate results.
    pub scratch_bytes: u64,
    /// Whether there is a [`Summary`].
    pub has_summary: bool,
}

impl Plan {
    /// The dispatches that solve a problem on a device.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if a row does not fit a binding or there are more rows than 2^32 - 2;
    /// [`Error::DeviceTooSmall`] if the device lacks bindings.
    pub fn new(problem: &Problem, caps: &Caps, tuning: &Tuning) -> Result<Self> {
        Planner::new(problem, caps, tuning)?.plan()
    }
}

struct Planner<'a> {
    problem: &'a Problem,
    caps: &'a Caps,
    tuning: Tuning,
    word: Word,
    /// How many pieces a row is cut into; 0 if rows are not split.
    splits: u64,
    window_rows: u64,
    steps: Vec<Step>,
}

fn too_large(what: &'static str, needed: u64, limit: u64) -> Error {
    Error::TooLarge { what, needed, limit }
}

impl<'a> Planner<'a> {
    fn new(problem: &'a Problem, caps: &'a Caps, tuning: &'a Tuning) -> Result<Self> {
        if problem.rows >= u64::from(u32::MAX) {
            return Err(too_large("the row count", problem.rows, u64::from(u32::MAX) - 1));
        }
        let mut planner = Self {
            problem,
            caps,
            tuning: tuning.fit(caps),
            word: Word::F32,
            splits: 0,
            window_rows: 0,
            steps: Vec::new(),
        };
        let by_four = problem.classes.is_multiple_of(4)
            && planner.matrices().all(|m| m.row_stride % 4 == 0 && m.offset % 16 == 0);
        if by_four && caps.storage_alignment.is_multiple_of(16) {
            planner.word = Word::F32x4;
        }
        planner.splits = planner.pieces_a_row(planner.needed_pieces());
        if planner.splits > planner.needed_pieces() && !planner.can_split() {
            planner.splits = planner.needed_pieces();
        }
        planner.window_rows = planner.rows_a_window()?;
        Ok(planner)
    }

    fn matrices(&self) -> impl Iterator<Item = Region> {
        let output = match self.problem.output {
            Destination::Separate(region) => Some(region),
            _ => None,
        };
        [Some(self.problem.input), self.problem.second, output].into_iter().flatten()
    }

    fn has_targets(&self) -> bool {
        self.problem.targets.is_some()
    }

    fn has_stats(&self) -> bool {
        matches!(self.problem.op, RowOp::CrossEntropy | RowOp::LogSumExp)
    }

    /// The binding limit less what aligning a window's start can cost.
    fn binding_room(&self) -> u64 {
        self.caps.max_binding_bytes.saturating_sub(self.caps.storage_alignment)
    }

    fn rows_a_window(&self) -> Result<u64> {
        let room = self.binding_room();
        let row_bytes = self.problem.classes.saturating_mul(4);
        if row_bytes > room {
            return Err(too_large("a row", row_bytes, room));
        }
        // Eight bytes a row: stats, and targets at most.
        let by_matrix =
            self.matrices().map(|m| 1 + (room - row_bytes) / m.row_stride.saturating_mul(4).max(1));
        // A workgroup a row, or one a piece of it, in a grid of two dimensions.
        let by_grid = u64::from(self.caps.max_workgroups).pow(2) / self.splits.max(1);
        Ok(by_matrix.chain([room / 8, by_grid]).min().unwrap_or(1).max(1))
    }

    /// How many pieces a row has to be cut into so that no lane handles too many words; 0 if it
    /// need not be cut.
    fn needed_pieces(&self) -> u64 {
        let words = self.problem.classes / u64::from(self.word.width());
        let needed = words.div_ceil(MAX_WORDS_A_LANE * u64::from(self.caps.lanes()));
        if needed > 1 { needed } else { 0 }
    }

    /// Whether the device has the bindings for split rows: they need one more than others.
    fn can_split(&self) -> bool {
        [Family::SplitSweep, Family::SplitFinish, Family::SplitColumns].iter().all(|&family| {
            self.row_kernel(family).storage_bindings() <= self.caps.max_storage_bindings
        })
    }

    fn pieces_a_row(&self, needed: u64) -> u64 {
        let (rows, classes) = (self.problem.rows, self.problem.classes);
        let few = rows > 0 && rows <= u64::from(self.tuning.split_max_rows);
        if !few || classes < u64::from(self.tuning.split_min_classes) {
            return needed;
        }
        // A piece keeps a whole workgroup busy for a while, whatever the row's length.
        let longest = classes.div_ceil(4 * u64::from(self.tuning.max_row_workgroup)).max(1);
        u64::from(self.tuning.split_workgroups)
            .div_ceil(rows)
            .clamp(2.min(longest), longest)
            .max(needed)
    }

    fn plan(mut self) -> Result<Plan> {
        let blocks = self.problem.rows.div_ceil(ROW_BLOCK);
        if self.has_targets() {
            self.scan_targets(blocks);
        }
        for first_row in (0..self.problem.rows).step_by(self.window_rows as usize) {
            let rows = self.window_rows.min(self.problem.rows - first_row);
            self.row_steps(first_row, rows);
        }
        if self.has_targets() && self.problem.reduction != Reduction::None {
            self.sum_losses(blocks);
        }
        self.check_bindings()?;
        let split_words = self.window_rows.min(self.problem.rows) * (2 + self.splits);
        let scratch_words = if self.splits > 0 { split_words } else { 0 }.max(2 * blocks.max(1));
        let plan = Plan {
            has_summary: self.has_targets(),
            stats_bytes: if self.has_stats() { self.problem.rows.max(1) * STATS_ROW } else { 0 },
            scratch_bytes: if self.has_targets() || self.splits > 0 {
                scratch_words * SCRATCH_WORD
            } else {
                0
            },
            steps: self.steps,
        };
        let (largest, limit) =
            (plan.stats_bytes.max(plan.scratch_bytes), self.caps.max_buffer_bytes);
        if largest > limit {
            return Err(too_large("the buffer of row results", largest, limit));
        }
        Ok(plan)
    }

    fn check_bindings(&self) -> Result<()> {
        let needed = self.steps.iter().map(|step| step.kernel.storage_bindings()).max();
        if needed.unwrap_or(0) > self.caps.max_storage_bindings {
            return Err(Error::DeviceTooSmall {
                device: "in use".to_owned(),
                reason: format!(
                    "a kernel binds {} storage buffers, the device allows {}",
                    needed.unwrap_or(0),
                    self.caps.max_storage_bindings
                ),
            });
        }
        // Windows of rows fit by construction; blocks of rows and scratch have sizes of their own,
        // which only a device below every known one could refuse.
        let limit = self.caps.max_binding_bytes;
        let bound = self.steps.iter().flat_map(|step| &step.bindings);
        match bound.map(|bound| bound.size).find(|&size| size > limit) {
            Some(size) => Err(too_large("a block of rows", size, limit)),
            None => Ok(()),
        }
    }

    /// Near-square: the workgroups left over are fewer than one row of the grid.
    fn grid(&self, groups: u64) -> [u32; 2] {
        if groups <= u64::from(self.caps.max_workgroups) {
            return [groups as u32, 1];
        }
        let width = groups.isqrt() + u64::from(groups.isqrt().pow(2) < groups);
        [width as u32, groups.div_ceil(width) as u32]
    }

    fn base_params(&self, rows: u64) -> Params {
        let problem = self.problem;
        let (used, value) = match problem.targets.and_then(|targets| targets.ignore_index) {
            Some(value) => (1, value.cast_unsigned()),
            None => (0, 0),
        };
        Params {
            rows: rows as u32,
            classes: problem.classes as u32,
            words: (problem.classes / u64::from(self.word.width())) as u32,
            ignore_used: used,
            ignore_low: value as u32,
            ignore_high: (value >> 32) as u32,
            upstream: match problem.upstream {
                UpstreamRegion::Scalar(upstream) => upstream,
                UpstreamRegion::Rows(_) => 1.0,
            },
            nan: f32::NAN,
            infinity: f32::INFINITY,
            splits: self.splits as u32,
            smooth_target: 1.0 - problem.loss.label_smoothing,
            smooth_class: problem.loss.label_smoothing / problem.classes as f32,
            weight_sum: problem.loss.weight_sum,
            z_loss: problem.loss.z_loss,
            logit_scale: problem.loss.logit_scale,
            softcap: problem.loss.softcap,
            normalizer: problem.loss.normalizer,
            ..bytemuck::Zeroable::zeroed()
        }
    }

    /// A binding of rows `first..first + rows`, and how many bytes into it the first row starts.
    fn window(
        &self,
        slot: Slot,
        offset: u64,
        stride: u64,
        last: u64,
        rows: [u64; 2],
    ) -> (Bound, u64) {
        let start = offset + rows[0] * stride;
        let aligned = start - start % self.caps.storage_alignment;
        let size = start - aligned + (rows[1] - 1).saturating_mul(stride) + last;
        (Bound { slot, offset: aligned, size }, start - aligned)
    }

    fn matrix_window(&self, slot: Slot, region: Region, rows: [u64; 2]) -> (Bound, u32, u32) {
        let (row_bytes, stride) = (self.problem.classes * 4, region.row_stride.saturating_mul(4));
        let (bound, residual) = self.window(slot, region.offset, stride, row_bytes, rows);
        (bound, (residual / self.word.bytes()) as u32, (stride / self.word.bytes()) as u32)
    }

    fn row_kernel(&self, family: Family) -> Kernel {
        let columns = match self.problem.output {
            Destination::None => Columns::None,
            Destination::InPlace => Columns::InPlace,
            Destination::Separate(_) => Columns::Separate,
        };
        let upstream = match self.problem.upstream {
            UpstreamRegion::Rows(_) => UpstreamFrom::Rows,
            UpstreamRegion::Scalar(_) if self.problem.reduction == Reduction::Mean => {
                UpstreamFrom::Mean
            }
            UpstreamRegion::Scalar(_) => UpstreamFrom::Scalar,
        };
        let kernel = RowKernel {
            family,
            op: self.problem.op,
            word: self.word,
            columns,
            reduce: self.tuning.reduce,
            targets: self.problem.targets.map_or(TargetType::I32, |targets| targets.width),
            upstream,
            weighting: self.problem.loss.weighting,
            chain: self.problem.loss.chain,
        };
        Kernel::Rows(kernel.canonical())
    }

    fn row_workgroup(&self, words: u64) -> u32 {
        // A handful of words a lane, as far as the sizes allow.
        let wanted = (words / 4).next_power_of_two().min(1 << 16) as u32;
        let needed = words.div_ceil(MAX_WORDS_A_LANE).next_power_of_two().min(1 << 16) as u32;
        wanted.clamp(self.tuning.min_row_workgroup, self.tuning.max_row_workgroup).max(needed)
    }

    fn row_steps(&mut self, first_row: u64, rows: u64) {
        let mut params = self.base_params(rows);
        let mut available = Vec::new();
        let range = [first_row, rows];
        let problem = self.problem;
        let (bound, offset, stride) = self.matrix_window(Slot::Input, problem.input, range);
        available.push(bound);
        (params.input_offset, params.input_stride) = (offset, stride);
        if let Some(region) = problem.second {
            let (bound, offset, stride) = self.matrix_window(Slot::Second, region, range);
            available.push(bound);
            (params.second_offset, params.second_stride) = (offset, stride);
        }
        if let Destination::Separate(region) = problem.output {
            let (bound, offset, stride) = self.matrix_window(Slot::Output, region, range);
            available.push(bound);
            (params.output_offset, params.output_stride) = (offset, stride);
        }
        if let Some(targets) = problem.targets {
            let width = targets.width.bytes();
            let (bound, residual) = self.window(Slot::Targets, targets.offset, width, width, range);
            available.push(bound);
            available.push(Bound { slot: Slot::Summary, offset: 0, size: Summary::SIZE });
            params.targets_offset = (residual / width) as u32;
        }
        if let UpstreamRegion::Rows(offset) = problem.upstream {
            let (bound, residual) = self.window(Slot::Dloss, offset, 4, 4, range);
            available.push(bound);
            params.dloss_offset = (residual / 4) as u32;
        }
        if self.has_stats() {
            let (bound, residual) = self.window(Slot::Stats, 0, STATS_ROW, STATS_ROW, range);
            available.push(bound);
            params.stats_offset = (residual / STATS_ROW) as u32;
        }
        available.extend(self.weights());
        if self.splits > 0 {
            let size = rows * (2 + self.splits) * SCRATCH_WORD;
            available.push(Bound { slot: Slot::Scratch, offset: 0, size });
            self.split_steps(params, &available);
        } else if problem.classes <= MAX_WORDS_A_LANE.min(self.tuning.lane_max_classes.into()) {
            let size = 64.min(self.caps.lanes());
            let groups = rows.div_ceil(size.into());
            self.push(self.row_kernel(Family::Lane), size, groups, params, &available);
        } else {
            let size = self.row_workgroup(params.words.into());
            self.push(self.row_kernel(Family::Row), size, rows, params, &available);
        }
    }

    fn split_steps(&mut self, mut params: Params, available: &[Bound]) {
        let (rows, words) = (u64::from(params.rows), u64::from(params.words));
        params.split_words = words.div_ceil(self.splits) as u32;
        let sweep = self.row_workgroup(params.split_words.into());
        let fold = self.tuning.min_row_workgroup;
        let pieces = rows * self.splits;
        self.push(self.row_kernel(Family::SplitSweep), sweep, pieces, params, available);
        self.push(self.row_kernel(Family::SplitFinish), fold, rows, params, available);
        if self.problem.output != Destination::None {
            self.push(self.row_kernel(Family::SplitColumns), sweep, pieces, params, available);
        }
    }

    fn push(&mut self, kernel: Kernel, size: u32, groups: u64, params: Params, from: &[Bound]) {
        let grid = self.grid(groups);
        let slots = kernel.bindings();
        let bound = |slot| from.iter().copied().find(|bound| bound.slot == slot);
        self.steps.push(Step {
            kernel,
            workgroup_size: size,
            grid,
            params: Params { grid_width: grid[0], ..params },
            bindings: slots.into_iter().filter_map(|(slot, _)| bound(slot)).collect(),
        });
    }

    /// Rows of eight bytes that a window of whole blocks can have.
    fn block_window_rows(&self) -> u64 {
        (self.binding_room() / 8 / ROW_BLOCK).max(1) * ROW_BLOCK
    }

    fn sum_workgroup(&self) -> u32 {
        if self.caps.software { 8.min(self.caps.lanes()) } else { 256.min(self.caps.lanes()) }
    }

    /// Two words for each block.
    fn block_scratch(blocks: u64) -> Bound {
        Bound { slot: Slot::Scratch, offset: 0, size: 2 * blocks.max(1) * SCRATCH_WORD }
    }

    /// The class weights, where there are any.
    fn weights(&self) -> Option<Bound> {
        let size = self.problem.classes * 4;
        let has = self.problem.loss.weighting != Weighting::None;
        has.then_some(Bound { slot: Slot::Weights, offset: 0, size })
    }

    fn scan_targets(&mut self, blocks: u64) {
        let Some(targets) = self.problem.targets else { return };
        let (width, step) = (targets.width.bytes(), self.block_window_rows());
        for first_row in (0..self.problem.rows).step_by(step as usize) {
            let rows = step.min(self.problem.rows - first_row);
            let (bound, residual) =
                self.window(Slot::Targets, targets.offset, width, width, [first_row, rows]);
            let params = Params {
                targets_offset: (residual / width) as u32,
                first_row: first_row as u32,
                first_block: (first_row / ROW_BLOCK) as u32,
                ..self.base_params(rows)
            };
            let (groups, size) = (rows.div_ceil(ROW_BLOCK), self.sum_workgroup());
            let mut available = vec![bound, Self::block_scratch(blocks)];
            available.extend(self.weights());
            let weighting = if self.problem.loss.weighting == Weighting::None {
                Weighting::None
            } else {
                Weighting::Weights
            };
            let kernel = Kernel::ScanTargets(targets.width, weighting);
            self.push(kernel, size, groups, params, &available);
        }
        self.fold(Kernel::FinishTargets, blocks);
    }

    fn sum_losses(&mut self, blocks: u64) {
        let step = self.block_window_rows();
        for first_row in (0..self.problem.rows).step_by(step as usize) {
            let rows = step.min(self.problem.rows - first_row);
            let (bound, residual) =
                self.window(Slot::Stats, 0, STATS_ROW, STATS_ROW, [first_row, rows]);
            let params = Params {
                stats_offset: (residual / STATS_ROW) as u32,
                first_block: (first_row / ROW_BLOCK) as u32,
                ..self.base_params(rows)
            };
            let (groups, size) = (rows.div_ceil(ROW_BLOCK), self.sum_workgroup());
            let bound = [bound, Self::block_scratch(blocks)];
            self.push(Kernel::SumLoss, size, groups, params, &bound);
        }
        let mean = self.problem.reduction == Reduction::Mean;
        let kernel = if mean { Kernel::FinishMean } else { Kernel::FinishSum };
        self.fold(kernel, blocks);
    }

    fn fold(&mut self, kernel: Kernel, blocks: u64) {
        let size = FOLD_WORKGROUP.min(self.caps.lanes());
        let params = Params { blocks: blocks as u32, ..self.base_params(self.problem.rows) };
        let summary = Bound { slot: Slot::Summary, offset: 0, size: Summary::SIZE };
        let bound = [summary, Self::block_scratch(blocks)];
        self.push(kernel, size, 1, params, &bound);
    }
}
