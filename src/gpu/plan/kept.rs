//! A layer over the rows of a caller's batch that are not ignored. Which they are, and how many, only the
//! device knows: it lists them, moves them together chunk by chunk, and what they come to back. The plan
//! counts on all rows; one dispatch then writes into the params of those after it how many there are.

use std::mem::offset_of;

use super::bind::window;
use super::layer::{CHUNK_UNIT, Origin};
use super::product::parts;
use super::{
    Bound, Layer, OnDevice, Plan, Problem, Region, Role, Step, UpstreamRegion, grid, too_large,
};
use crate::error::Result;
use crate::gpu::fragment::Slot;
use crate::gpu::kernel::{Kernel, TargetType};
use crate::gpu::params::{Limit, Params, SKIPPED, Summary};
use crate::gpu::product::Form;

const LANES: u32 = 64;
/// Bytes of rows that are moved together for the loss alone, which needs no more.
const GATHERED: u64 = 4 << 20;

/// What is planned, and what is planned instead for the kept rows.
pub(super) struct Kept<'a> {
    on: OnDevice<'a>,
    targets: TargetType,
    /// The layer over a chunk of kept rows.
    layer: Layer,
    problem: Problem,
    /// Rows a chunk.
    room: u64,
}

/// Rows in a buffer, in bytes.
#[derive(Clone, Copy)]
struct Rows {
    role: Role,
    offset: u64,
    stride: u64,
    /// Of a row.
    bytes: u64,
}

impl Rows {
    fn of(role: Role, region: Region, width: u64) -> Self {
        let stride = region.bytes(region.row_stride);
        Self { role, offset: region.offset, stride, bytes: region.bytes(width) }
    }

    /// One after the other, in whole u32s.
    fn tight(role: Role, bytes: u64) -> Self {
        let bytes = bytes.next_multiple_of(4);
        Self { role, offset: 0, stride: bytes, bytes }
    }

    fn words(self) -> u64 {
        self.bytes / 4
    }
}

impl<'a> Kept<'a> {
    /// For a problem with rows, and with index targets or with a mask that is made into some; none for
    /// others.
    pub(super) fn new(on: OnDevice<'a>) -> Option<Self> {
        let targets = on.problem.targets.filter(|_| on.problem.rows > 0)?;
        let mut problem = on.problem.clone();
        problem.targets = Some(super::TargetRegion { offset: 0, ..targets });
        if let UpstreamRegion::Rows(offset) = &mut problem.upstream {
            *offset = 0;
        }
        let mut layer = on.layer.clone();
        let bytes = layer.hidden.bytes(layer.width).next_multiple_of(4);
        let row_stride = bytes / layer.hidden.bytes(1);
        layer.hidden = Region { offset: 0, row_stride, ..layer.hidden };
        layer.dhidden = layer.dhidden.map(|it| Region { offset: 0, row_stride: layer.width, ..it });
        problem.second =
            problem.second.map(|it| Region { offset: 0, row_stride: problem.classes, ..it });
        let probs = problem.second.map_or(0, |it| it.bytes(problem.classes));
        let moved = bytes + probs + layer.dhidden.map_or(0, |it| it.bytes(layer.width));
        let logits = problem.input.bytes(problem.classes);
        let scratch = on.layer.scratch_bytes.min(on.caps.max_binding_bytes);
        // The loss alone of index targets has no logits.
        let room = if layer.has_gradient() || problem.second.is_some() {
            let room = (scratch / (moved + logits)).max(1);
            layer.scratch_bytes = room * logits;
            room
        } else {
            layer.scratch_bytes = scratch / 2;
            (GATHERED.min(scratch / 2) / moved).max(1)
        };
        let cut = if room > CHUNK_UNIT { room % CHUNK_UNIT } else { 0 };
        let room = (room - cut).min(problem.rows).max(1);
        Some(Self { on, targets: targets.width, layer, problem, room })
    }

    fn inner(&self) -> OnDevice<'_> {
        OnDevice { layer: &self.layer, problem: &self.problem, ..self.on }
    }

    pub(super) fn plan(&self) -> Result<Plan> {
        let (list, room) = (4 * self.problem.rows, self.on.caps.max_binding_bytes);
        if list > room {
            return Err(too_large("the list of rows that are not ignored", list, room));
        }
        let mut steps = self.before()?;
        let fitted = self.chunks()?;
        let limits = limits(&fitted);
        steps.extend(self.fit(&limits, fitted.len() as u64));
        let first = steps.len();
        steps.extend(fitted);
        let fitted = first..steps.len();
        steps.extend(self.on.end()?.steps);
        let kept = self.buffers();
        Ok(Plan { steps, fitted, limits, kept, ..self.inner().begin()? })
    }

    /// Which rows are kept; and zeros for the others.
    fn before(&self) -> Result<Vec<Step>> {
        let planner = self.on.planner(Origin { row: 0, class: 0 })?;
        let mut windows = planner.windows(self.on.problem).planner(0)?;
        windows.begin();
        windows.list_kept();
        let mut steps = windows.steps;
        let last = if self.problem.loss.metrics { SKIPPED } else { 0 };
        steps.extend(self.clear(self.stats(Role::Slot(Slot::Stats)), last));
        if let Some(region) = self.on.layer.dhidden {
            steps.extend(self.clear(Rows::of(Role::Dhidden, region, self.layer.width), 0));
        }
        Ok(steps)
    }

    fn stats(&self, role: Role) -> Rows {
        Rows::tight(role, self.problem.stats_row())
    }

    /// Everything that is done with kept rows.
    fn chunks(&self) -> Result<Vec<Step>> {
        let (on, width) = (self.on, self.layer.width);
        let mut steps = Vec::new();
        if let Some(region) = on.problem.targets {
            let bytes = region.width.bytes();
            let targets =
                Rows { offset: region.offset, ..Rows::tight(Role::Slot(Slot::Targets), bytes) };
            let kept = Rows::tight(Role::KeptTargets, bytes);
            steps.extend(self.moves(Kernel::GatherRows, [0, on.problem.rows], targets, kept));
        }
        for [first, rows] in parts(on.problem.rows, self.room) {
            let hidden = Rows::of(Role::Hidden, on.layer.hidden, width);
            let kept = Rows::tight(Role::KeptHidden, hidden.bytes);
            steps.extend(self.moves(Kernel::GatherRows, [first, rows], hidden, kept));
            if let UpstreamRegion::Rows(offset) = on.problem.upstream {
                let dloss = Rows { offset, ..Rows::tight(Role::Slot(Slot::Dloss), 4) };
                let kept = Rows::tight(Role::KeptDloss, 4);
                steps.extend(self.moves(Kernel::GatherRows, [first, rows], dloss, kept));
            }
            if let Some(region) = on.problem.second {
                let second = Rows::of(Role::Slot(Slot::Second), region, on.problem.classes);
                let kept = Rows::tight(Role::KeptSecond, second.bytes);
                steps.extend(self.moves(Kernel::GatherRows, [first, rows], second, kept));
            }
            let mut of_chunk = self.inner().window([first, rows])?.steps;
            for bound in of_chunk.iter_mut().flat_map(|step| &mut step.bindings) {
                bound.role = of_kept(bound.role);
            }
            steps.extend(of_chunk);
            let stats = self.stats(Role::Slot(Slot::Stats));
            let kept = self.stats(Role::KeptStats);
            let kept = Rows { offset: first * kept.stride, ..kept };
            steps.extend(self.moves(Kernel::SpreadRows, [first, rows], stats, kept));
            if let Some(region) = on.layer.dhidden {
                let dhidden = Rows::of(Role::Dhidden, region, width);
                let kept = Rows::tight(Role::KeptDhidden, dhidden.bytes);
                steps.extend(self.moves(Kernel::SpreadRows, [first, rows], dhidden, kept));
            }
        }
        Ok(steps)
    }

    /// Rows of the batch that a binding holds.
    fn fitting(&self, batch: Rows) -> u64 {
        let room = self.on.caps.max_binding_bytes.saturating_sub(self.on.caps.storage_alignment);
        1 + room.saturating_sub(batch.bytes) / batch.stride.max(1)
    }

    /// Rows of so many words that a dispatch moves.
    fn in_time(&self, words: u64) -> u64 {
        let lanes = u64::from(LANES.min(self.on.caps.lanes()));
        let in_grid = u64::from(self.on.caps.max_workgroups).pow(2).saturating_mul(lanes);
        (in_grid.min(self.on.tuning.elements_a_dispatch() / 2) / words.max(1)).max(1)
    }

    /// Moves kept rows, so many from the first, between the batch and a buffer that begins with them.
    fn moves(&self, kernel: Kernel, [first, rows]: [u64; 2], batch: Rows, kept: Rows) -> Vec<Step> {
        let (caps, all, words) = (self.on.caps, self.on.problem.rows, kept.words());
        let mut steps = Vec::new();
        for [start, count] in parts(rows, self.in_time(words).min(self.fitting(kept))) {
            // A kept row is not before its place.
            let windows = parts(all, self.fitting(batch));
            for [row, rows] in windows.filter(|[row, rows]| row + rows > first + start) {
                let (of_batch, of_kept) = match kernel {
                    Kernel::GatherRows => (Slot::Input, Slot::Output),
                    _ => (Slot::Output, Slot::Input),
                };
                let begin = batch.offset + row * batch.stride;
                let bytes = (rows - 1) * batch.stride + batch.bytes;
                let (from_batch, at_batch) = window(caps, of_batch, begin, bytes);
                let begin = kept.offset + start * kept.stride;
                let (from_kept, at_kept) = window(caps, of_kept, begin, count * kept.stride);
                let mut params = Params {
                    rows: count as u32,
                    words: words as u32,
                    first_row: (first + start) as u32,
                    window_row: row as u32,
                    window_rows: rows as u32,
                    ..bytemuck::Zeroable::zeroed()
                };
                if of_batch == Slot::Input {
                    (params.input_offset, params.input_stride) =
                        ((at_batch / 2) as u32, (batch.stride / 2) as u32);
                    params.output_offset = (at_kept / 4) as u32;
                } else {
                    (params.output_offset, params.output_stride) =
                        ((at_batch / 4) as u32, (batch.stride / 4) as u32);
                    params.input_offset = (at_kept / 4) as u32;
                }
                let bindings = vec![
                    Bound { role: batch.role, ..from_batch },
                    Bound { role: kept.role, ..from_kept },
                    self.list(),
                ];
                steps.push(self.step(kernel, count * words, params, bindings));
            }
        }
        steps
    }

    /// Zeros for the rows that are ignored, but for the last word.
    fn clear(&self, batch: Rows, last_word: u32) -> Vec<Step> {
        let (caps, words) = (self.on.caps, batch.words());
        let Some(targets) = self.on.problem.targets else { return Vec::new() };
        let (ignored, width) = (targets.ignore_index, self.targets.bytes());
        let of_targets = Rows::tight(Role::Slot(Slot::Targets), width);
        let fitting = self.fitting(batch).min(self.fitting(of_targets));
        let at_a_time = fitting.min(self.in_time(words));
        let mut steps = Vec::new();
        for [row, rows] in parts(self.on.problem.rows, at_a_time) {
            let begin = batch.offset + row * batch.stride;
            let bytes = (rows - 1) * batch.stride + batch.bytes;
            let (output, at) = window(caps, Slot::Output, begin, bytes);
            let begin = targets.offset + row * width;
            let (of_targets, at_target) = window(caps, Slot::Targets, begin, rows * width);
            let value = ignored.unwrap_or(0).cast_unsigned();
            let params = Params {
                rows: rows as u32,
                words: words as u32,
                targets_offset: (at_target / width) as u32,
                output_offset: (at / 4) as u32,
                output_stride: (batch.stride / 4) as u32,
                ignore_used: ignored.is_some().into(),
                ignore_low: value as u32,
                ignore_high: (value >> 32) as u32,
                last_word,
                ..bytemuck::Zeroable::zeroed()
            };
            let bindings = vec![Bound { role: batch.role, ..output }, of_targets];
            steps.push(self.step(
                Kernel::ClearIgnored(self.targets),
                rows * words,
                params,
                bindings,
            ));
        }
        steps
    }

    /// Writes the limits into the params of so many steps.
    fn fit(&self, limits: &[Limit], steps: u64) -> Vec<Step> {
        let (caps, stride, size) = (self.on.caps, Params::STRIDE, size_of::<Limit>() as u64);
        // Two limits a step at most, an eighth of its params: where these fit, so does the table.
        let at_a_time = (caps.max_binding_bytes / stride).max(1);
        let mut of_steps = Vec::new();
        for [first, steps] in parts(steps, at_a_time) {
            let place = |step: u64| {
                limits.partition_point(|limit| u64::from(limit.at) * 4 < step * stride) as u64
            };
            let [from, to] = [first, first + steps].map(place);
            let (table, at) = window(caps, Slot::Limits, from * size, (to - from) * size);
            let fitted = Bound::new(Slot::Fitted, first * stride, steps * stride);
            let params = Params {
                rows: (to - from) as u32,
                input_offset: (at / size) as u32,
                // Where a number stands counts from the first step.
                output_offset: (first * stride / 4) as u32,
                ..bytemuck::Zeroable::zeroed()
            };
            let bindings = vec![
                Bound::new(Slot::Summary, 0, Summary::SIZE),
                Bound { role: Role::Limits, ..table },
                Bound { role: Role::Fitted, ..fitted },
            ];
            of_steps.push(self.step(Kernel::FitParams, to - from, params, bindings));
        }
        of_steps
    }

    /// A step of a lane for each element.
    fn step(&self, kernel: Kernel, elements: u64, params: Params, bindings: Vec<Bound>) -> Step {
        let size = LANES.min(self.on.caps.lanes());
        let grid = grid(elements.div_ceil(size.into()), self.on.caps.max_workgroups);
        let params = Params { grid_width: grid[0], ..params };
        let mut bindings = bindings;
        bindings.sort_by_key(|bound| bound.slot);
        Step { kernel, workgroup_size: size, grid, cost: 2 * elements, params, bindings }
    }

    fn list(&self) -> Bound {
        let bytes = 4 * self.on.problem.rows.max(1);
        Bound { role: Role::Kept, ..Bound::new(Slot::Kept, 0, bytes) }
    }

    /// The buffers that all of this needs besides.
    fn buffers(&self) -> Vec<(Role, u64)> {
        let (rows, width) = (self.problem.rows, self.layer.width);
        let dhidden = self.layer.dhidden.map_or(0, |it| self.room * it.bytes(width));
        let probs = self.problem.second.map_or(0, |it| it.bytes(self.problem.classes));
        let by_row = matches!(self.problem.upstream, UpstreamRegion::Rows(_));
        vec![
            (Role::Kept, 4 * rows),
            (Role::KeptTargets, self.targets.bytes() * rows),
            (Role::KeptStats, self.problem.stats_row() * rows),
            (Role::KeptHidden, self.layer.hidden.bytes(self.layer.hidden.row_stride) * self.room),
            (Role::KeptSecond, probs * self.room),
            (Role::KeptDhidden, dhidden),
            (Role::KeptDloss, if by_row { 4 * self.room } else { 0 }),
        ]
    }
}

/// The numbers of steps that depend on how many rows are kept.
fn limits(steps: &[Step]) -> Vec<Limit> {
    let mut limits = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let params = &step.params;
        let at = |field: usize| ((index as u64 * Params::STRIDE + field as u64) / 4) as u32;
        let (rows, first) = (at(offset_of!(Params, rows)), params.first_row);
        let is_summed =
            matches!(step.kernel, Kernel::Product(it) if it.form == Form::LeftTransposed);
        if is_summed {
            // What is stored stays, where there is nothing to add to it.
            if first > 0 {
                limits.push(Limit { at: rows, first, most: params.rows, is_whole: 1 });
            }
            let (at, most) = (at(offset_of!(Params, depth)), params.depth);
            limits.push(Limit { at, first, most, is_whole: 0 });
        } else {
            limits.push(Limit { at: rows, first, most: params.rows, is_whole: 0 });
        }
    }
    limits
}

/// What a plan for the kept rows binds in the place of the batch's own.
fn of_kept(role: Role) -> Role {
    match role {
        Role::Hidden => Role::KeptHidden,
        Role::Dhidden => Role::KeptDhidden,
        Role::Slot(Slot::Targets) => Role::KeptTargets,
        Role::Slot(Slot::Second) => Role::KeptSecond,
        Role::Slot(Slot::Dloss) => Role::KeptDloss,
        Role::Slot(Slot::Stats) => Role::KeptStats,
        other => other,
    }
}
