//! From a problem to the dispatches that solve it: pure data, no wgpu handle, testable against any
//! limits without a GPU.
//!
//! For tests, tools and the curious: unlike the rest of the crate, what stands here may change in any
//! release.

mod bind;
mod blocks;
mod classes;
mod cost;
mod kept;
mod layer;
mod masks;
mod problem;
mod product;
mod rows;
mod step;
mod tiles;
mod windows;

pub use layer::{Ignored, Layer};
pub(crate) use layer::{OnDevice, chunk_region};
pub use problem::{
    Destination, ElementMask, LabelMask, LossNumbers, Pass, Problem, Region, Role, RowMask,
    TargetRegion, UpstreamRegion,
};

pub use product::{MAX_DEPTH, Operand, Product};
pub use step::{Bound, Plan, Step};
use windows::Held;
pub(crate) use windows::Windows;

use crate::error::{Error, Result};
use crate::gpu::caps::{Caps, Reduce, Tuning};
use crate::gpu::fragment::Slot;
use crate::gpu::kernel::{Family, Kernel, RowKernel};
use crate::gpu::ops::RowOp;
use crate::gpu::params::Params;
use crate::gpu::word::Word;

/// Rows a block in the sums over rows; `ROW_BLOCK` of `params.wgsl`.
pub const ROW_BLOCK: u64 = 4096;
/// Lanes that fold the blocks.
const FOLD_WORKGROUP: u32 = 64;
/// Words of a row that one lane handles at most. llvmpipe ends every loop once an invocation has
/// gone through 65,535 iterations, all its loops together, and a lane goes through its words twice.
pub const MAX_WORDS_A_LANE: u64 = 28_000;

/// Words of a row that a lane can hold: `HELD` of the shaders.
pub const HELD_WORDS: u32 = 8;
/// Bytes a word of scratch.
const SCRATCH_WORD: u64 = 16;
/// Bytes of a pair of row statistics.
const PAIRS_ROW: u64 = 16;
/// Bytes of a row's edges.
const EDGES_ROW: u64 = 8;

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
    held: Held,
    /// Of which rows there are results at a time.
    results: Held,
    /// Whether the device sums them.
    sums_rows: bool,
    steps: Vec<Step>,
}

fn too_large(what: &'static str, needed: u64, limit: u64) -> Error {
    Error::TooLarge { what, needed, limit }
}

/// Near-square: the workgroups left over are fewer than one row of the grid.
fn grid(groups: u64, max_workgroups: u32) -> [u32; 2] {
    if groups <= u64::from(max_workgroups) {
        return [groups as u32, 1];
    }
    let width = groups.isqrt() + u64::from(groups.isqrt().pow(2) < groups);
    [width as u32, groups.div_ceil(width) as u32]
}

/// Whether a device has so many storage bindings.
fn check_bindings(needed: u32, caps: &Caps) -> Result<()> {
    if needed <= caps.max_storage_bindings {
        return Ok(());
    }
    let allowed = caps.max_storage_bindings;
    Err(Error::DeviceTooSmall {
        device: "in use".to_owned(),
        reason: format!("a kernel binds {needed} storage buffers, the device allows {allowed}"),
    })
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
            word: Word::anywhere(problem.input.dtype),
            splits: 0,
            window_rows: 0,
            held: Held { first: 0, rows: problem.rows },
            results: Held { first: 0, rows: problem.rows },
            sums_rows: true,
            steps: Vec::new(),
        };
        let by_four = problem.classes.is_multiple_of(4)
            && problem.matrices().all(|m| m.row_stride % 4 == 0 && m.offset % m.bytes(4) == 0);
        if by_four && caps.storage_alignment.is_multiple_of(16) {
            planner.word = Word::by_four(problem.input.dtype);
        }
        planner.split_rows();
        planner.window_rows = planner.rows_a_window()?;
        Ok(planner)
    }

    /// The binding limit less what aligning a window's start can cost.
    fn binding_room(&self) -> u64 {
        self.caps.max_binding_bytes.saturating_sub(self.caps.storage_alignment)
    }

    fn rows_a_window(&self) -> Result<u64> {
        let room = self.binding_room();
        let classes = self.problem.classes;
        let row_bytes = self.problem.matrices().map(|m| m.bytes(classes)).max().unwrap_or(0);
        if row_bytes > room {
            return Err(too_large("a row", row_bytes, room));
        }
        // Sixteen bytes a row: stats, pairs, edges, and targets at most.
        let by_matrix = self
            .problem
            .matrices()
            .map(|m| 1 + (room - m.bytes(classes)) / m.bytes(m.row_stride).max(1));
        // A workgroup a row, or one a piece of it, in a grid of two dimensions; edges have one place more
        // than there are rows.
        let places = u64::from(self.caps.max_workgroups).pow(2).saturating_sub(1);
        let by_grid = places / self.splits.max(1);
        let others = [room / 16, by_grid, self.rows_in_time()];
        Ok(by_matrix.chain(others).min().unwrap_or(1).max(1))
    }

    fn plan(mut self) -> Result<Plan> {
        self.begin();
        self.rows_of([0, self.problem.rows]);
        if self.sums_rows {
            self.end();
        }
        self.finish()
    }

    fn finish(self) -> Result<Plan> {
        self.check_bindings()?;
        let (problem, blocks) = (self.problem, self.blocks());
        let has_sums = problem.targets.is_some() || problem.has_summary() && self.sums_rows;
        let sums = if has_sums { 2 * blocks.max(1) } else { 0 };
        let bytes = |needed: bool, rows: u64, row: u64| if needed { rows.max(1) * row } else { 0 };
        // They are bound wherever rows may start anywhere, and used where some start in a u32.
        let binds_edges =
            |step: &Step| step.kernel.bindings().iter().any(|(slot, _)| *slot == Slot::Edges);
        let has_edges = self.steps.iter().any(binds_edges);
        let has_pairs = problem.passes.iter().any(|pass| pass.op == RowOp::PairStats);
        let held = self.held.rows.min(problem.rows);
        let plan = Plan {
            has_summary: problem.has_summary(),
            stats_bytes: bytes(
                problem.has_stats(),
                self.results.rows.min(problem.rows),
                problem.stats_row(),
            ),
            pairs_bytes: bytes(has_pairs, held, PAIRS_ROW),
            edges_bytes: bytes(has_edges, held, EDGES_ROW),
            targets_bytes: self.masked_targets_bytes(),
            mask_bytes: self.made_mask_bytes(),
            scratch_bytes: self.split_words().max(sums) * SCRATCH_WORD,
            steps: self.steps,
            ..Plan::default()
        };
        let largest = [plan.stats_bytes, plan.pairs_bytes, plan.edges_bytes, plan.scratch_bytes];
        let largest = [&largest[..], &[plan.targets_bytes, plan.mask_bytes]].concat();
        let largest = largest.into_iter().max().unwrap_or(0);
        if largest > self.caps.max_buffer_bytes {
            let limit = self.caps.max_buffer_bytes;
            return Err(too_large("the buffer of row results", largest, limit));
        }
        Ok(plan)
    }

    /// Words of scratch for the split rows of a window, in whichever pass needs most.
    fn split_words(&self) -> u64 {
        if self.splits == 0 {
            return 0;
        }
        let piece = |pass| self.row_kernel(pass, Family::SplitSweep).piece_words();
        let words = self.problem.passes.iter().map(piece).max().unwrap_or(0);
        self.window_rows.min(self.problem.rows) * (2 + self.splits * words)
    }

    fn check_bindings(&self) -> Result<()> {
        let needed = self.steps.iter().map(|step| step.kernel.storage_bindings()).max();
        check_bindings(needed.unwrap_or(0), self.caps)?;
        // Windows of rows fit by construction; blocks of rows and scratch have sizes of their own,
        // which only a device below every known one could refuse.
        let limit = self.caps.max_binding_bytes;
        let bound = self.steps.iter().flat_map(|step| &step.bindings);
        match bound.map(|bound| bound.size).find(|&size| size > limit) {
            Some(size) => Err(too_large("a block of rows", size, limit)),
            None => Ok(()),
        }
    }

    fn base_params(&self, rows: u64) -> Params {
        let problem = self.problem;
        let (used, value) = match problem.targets.and_then(|targets| targets.ignore_index) {
            Some(value) => (1, value.cast_unsigned()),
            None => (0, 0),
        };
        let (logit_scale, z_scale) = problem.loss.scales();
        Params {
            rows: rows as u32,
            classes: problem.classes as u32,
            words: problem.classes.div_ceil(self.word.width().into()) as u32,
            ignore_used: used,
            ignore_low: value as u32,
            ignore_high: (value >> 32) as u32,
            upstream: match problem.upstream {
                UpstreamRegion::Scalar(upstream) => upstream,
                _ => 1.0,
            },
            nan: f32::NAN,
            infinity: f32::INFINITY,
            splits: self.splits as u32,
            smooth_target: 1.0 - problem.loss.label_smoothing,
            smooth_class: problem.loss.label_smoothing / problem.classes as f32,
            weight_sum: problem.loss.weight_sum,
            z_loss: problem.loss.z_loss,
            logit_scale,
            z_scale,
            softcap: problem.loss.softcap,
            normalizer: problem.loss.normalizer,
            unit: problem.loss.unit,
            clamp: problem.loss.clamp,
            gamma: problem.loss.gamma,
            delta: problem.loss.delta,
            label_scale: problem.loss.label.0,
            label_offset: problem.loss.label.1,
            focal_one: problem.loss.focal.0,
            focal_zero: problem.loss.focal.1,
            mix_teacher: problem.loss.mixture[0],
            mix_student: problem.loss.mixture[1],
            mix_log_teacher: problem.loss.mixture[2],
            mix_log_student: problem.loss.mixture[3],
            mix_shift: problem.loss.mixture[4],
            weight: problem.loss.weight,
            ..bytemuck::Zeroable::zeroed()
        }
    }

    /// Without a barrier, where there is nobody to wait for.
    fn for_workgroup(&self, kernel: Kernel, size: u32) -> Kernel {
        match kernel {
            Kernel::Rows(row)
                if row.reduce == Reduce::Subgroup && self.caps.subgroups == Some((size, size)) =>
            {
                Kernel::Rows(RowKernel { reduce: Reduce::OneSubgroup, ..row })
            }
            other => other,
        }
    }

    fn push(&mut self, kernel: Kernel, size: u32, groups: u64, params: Params, from: &[Bound]) {
        let kernel = self.for_workgroup(kernel, size);
        let grid = grid(groups, self.caps.max_workgroups);
        let slots = kernel.bindings();
        let bound = |slot| from.iter().copied().find(|bound| bound.slot == slot);
        self.steps.push(Step {
            kernel,
            workgroup_size: size,
            grid,
            cost: self.cost(kernel, &params),
            params: Params { grid_width: grid[0], ..params },
            bindings: slots.into_iter().filter_map(|(slot, _)| bound(slot)).collect(),
        });
    }
}
