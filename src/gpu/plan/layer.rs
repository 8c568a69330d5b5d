//! From a linear layer with cross-entropy behind it to dispatches: a chunk of rows is multiplied, made
//! its own gradient by the plan of a window of rows, and multiplied on.

use super::bind::window;
use super::kept::Kept;
use super::product::parts;
use super::tiles::Tiles;
use super::{Bound, MAX_DEPTH, Operand, Plan, Problem, Product, Region, Role, Step};
use super::{UpstreamRegion, Windows, grid, too_large};
use crate::dtype::Dtype;
use crate::error::Result;
use crate::gpu::caps::{Caps, Tuning};
use crate::gpu::fragment::Slot;
use crate::gpu::kernel::Kernel;
use crate::gpu::params::Params;
use crate::gpu::product::{Form, Start};

/// Rows that a chunk is a multiple of, where it has as many: those of the largest tile.
pub(super) const CHUNK_UNIT: u64 = 128;

/// What happens to rows whose target is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignored {
    /// They are multiplied like others: there are none, or few.
    Multiplied,
    /// They are left out, on the device.
    LeftOut,
}

/// What makes the logits of a problem, and what their gradient goes into. The problem's input is a
/// chunk of logits, in a buffer of the call's own.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Columns of `hidden`, and of the weights.
    pub width: u64,
    /// What the layer reads, `[rows, width]`.
    pub hidden: Region,
    /// `[classes, width]`.
    pub weight: Region,
    /// `[classes]` of f32.
    pub bias: Option<Region>,
    /// The gradient of `hidden`, f32, if it is asked for.
    pub dhidden: Option<Region>,
    /// The gradient of the weights, f32, if it is asked for.
    pub dweight: Option<Region>,
    /// The gradient of the bias, f32, if it is asked for.
    pub dbias: Option<Region>,
    /// Bytes that may be taken beside what is read and written.
    pub scratch_bytes: u64,
    /// What a plan of the whole batch does with rows that are ignored. Windows of it hold what they are
    /// given.
    pub ignored: Ignored,
}

/// A layer, what is computed with it, and on which device.
#[derive(Clone, Copy)]
pub(crate) struct OnDevice<'a> {
    pub(crate) layer: &'a Layer,
    pub(crate) problem: &'a Problem,
    pub(crate) caps: &'a Caps,
    pub(crate) tuning: &'a Tuning,
}

/// The same, with what the buffers of its rows and of its classes begin with.
pub(super) struct Planner<'a> {
    pub(super) layer: &'a Layer,
    pub(super) problem: &'a Problem,
    pub(super) caps: &'a Caps,
    pub(super) tuning: &'a Tuning,
    /// Rows of logits that there are at a time.
    room: u64,
    pub(super) origin: Origin,
}

/// The batch's row, and the layer's class, that buffers begin with.
#[derive(Clone, Copy)]
pub(super) struct Origin {
    pub(super) row: u64,
    pub(super) class: u64,
}

/// A part of the logits: its first row and how many they are, its first class and how many they are.
#[derive(Clone, Copy)]
pub(super) struct Chunk {
    pub(super) rows: [u64; 2],
    pub(super) classes: [u64; 2],
}

impl Layer {
    /// The dispatches of a problem over the layer's logits.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub fn plan(&self, problem: &Problem, caps: &Caps, tuning: &Tuning) -> Result<Plan> {
        let on = OnDevice { layer: self, problem, caps, tuning };
        if let (Ignored::LeftOut, Some(kept)) = (self.ignored, Kept::new(on)) {
            return kept.plan();
        }
        let mut plan = on.begin()?;
        plan.steps.extend(on.window([0, problem.rows])?.steps);
        plan.steps.extend(on.end()?.steps);
        Ok(plan)
    }

    /// The same with a layer that comes in blocks of so many classes; see
    /// [`Device::stream_classes`](crate::Device::stream_classes).
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub fn plan_in_blocks(
        &self,
        problem: &Problem,
        caps: &Caps,
        tuning: &Tuning,
        block: u64,
    ) -> Result<Plan> {
        let on = OnDevice { layer: self, problem, caps, tuning };
        let mut plan = on.begin_classes()?;
        for classes in parts(problem.classes, block) {
            plan.steps.extend(on.sweep_classes(classes)?.steps);
        }
        plan.steps.extend(on.finish_rows()?.steps);
        if self.has_gradient() {
            for classes in parts(problem.classes, block) {
                plan.steps.extend(on.class_gradients(classes)?.steps);
            }
        }
        plan.steps.extend(on.end()?.steps);
        Ok(plan)
    }

    pub(super) fn has_gradient(&self) -> bool {
        self.dhidden.is_some() || self.dweight.is_some() || self.dbias.is_some()
    }
}

impl<'a> OnDevice<'a> {
    /// What comes before the first row, with the buffers that all of it needs.
    pub(crate) fn begin(self) -> Result<Plan> {
        let planner = self.planner(Origin { row: 0, class: 0 })?;
        let mut plan = planner.windows(self.problem).begin()?;
        match Tiles::new(&planner)? {
            Some(tiles) => plan.scratch_bytes = plan.scratch_bytes.max(tiles.scratch_bytes()),
            None => {
                plan.logits_bytes = planner.room * self.problem.input.bytes(self.problem.classes);
            }
        }
        Ok(plan)
    }

    /// So many rows from the first, with which the buffers of rows begin.
    pub(crate) fn window(self, [first, rows]: [u64; 2]) -> Result<Plan> {
        let planner = self.planner(Origin { row: first, class: 0 })?;
        let steps = match Tiles::new(&planner)? {
            Some(tiles) => tiles.steps([first, rows])?,
            None => planner.chunks([first, rows])?,
        };
        Ok(Plan { steps, ..Plan::default() })
    }

    /// What comes after the last row.
    pub(crate) fn end(self) -> Result<Plan> {
        self.planner(Origin { row: 0, class: 0 })?.windows(self.problem).end()
    }

    pub(super) fn planner(self, origin: Origin) -> Result<Planner<'a>> {
        let Self { layer, problem, caps, tuning } = self;
        let (row, limit) = (problem.input.bytes(problem.classes), caps.max_binding_bytes);
        if row > limit {
            return Err(too_large("a row of logits", row, limit));
        }
        let rows = layer.scratch_bytes.min(limit) / row.max(1);
        let rows = rows.min(problem.rows).max(1);
        let cut = if rows < problem.rows && rows >= CHUNK_UNIT { rows % CHUNK_UNIT } else { 0 };
        Ok(Planner { layer, problem, caps, tuning, room: rows - cut, origin })
    }
}

impl Planner<'_> {
    pub(super) fn windows<'b>(&'b self, problem: &'b Problem) -> Windows<'b> {
        Windows {
            problem,
            caps: self.caps,
            tuning: self.tuning,
            room: self.room,
            reads_results: false,
        }
    }

    fn chunks(&self, [first, rows]: [u64; 2]) -> Result<Vec<Step>> {
        let mut steps = Vec::new();
        for rows in parts(rows, self.room).map(|[start, rows]| [first + start, rows]) {
            let chunk = Chunk { rows, classes: [0, self.problem.classes] };
            steps.extend(self.product(self.logits(chunk), rows[0])?);
            steps.extend(self.windows(&self.over(rows)).window(rows[0], rows[1])?.steps);
            steps.extend(self.gradients(chunk)?);
        }
        Ok(steps)
    }

    /// Over rows from the batch's `first_row` on, whether they are the product's rows or its depth.
    pub(super) fn product(&self, product: Product, first_row: u64) -> Result<Vec<Step>> {
        let mut steps = product.steps(self.caps, self.tuning)?;
        for step in &mut steps {
            step.params.first_row += first_row as u32;
        }
        Ok(steps)
    }

    /// The problem as a chunk's window sees it, whose upstream gradient and whose probabilities are those
    /// of all rows that the buffers hold.
    fn over(&self, [first, _]: [u64; 2]) -> Problem {
        let (mut problem, before) = (self.problem.clone(), first - self.origin.row);
        if let UpstreamRegion::Rows(offset) = &mut problem.upstream {
            *offset += 4 * before;
        }
        if let Some(second) = &mut problem.second {
            second.offset += second.bytes(before * second.row_stride);
        }
        problem
    }

    pub(super) fn logits(&self, chunk: Chunk) -> Product {
        let layer = self.layer;
        let bias = layer.bias.map(|region| self.of_classes(Role::Bias, region, chunk));
        Product {
            form: Form::RightTransposed,
            rows: chunk.rows[1],
            columns: chunk.classes[1],
            depth: layer.width,
            left: self.of_rows(Role::Hidden, layer.hidden, chunk),
            right: self.of_classes(Role::Weight, layer.weight, chunk),
            output: chunk.operand(),
            start: if bias.is_some() { Start::Bias } else { Start::Zero },
            bias,
        }
    }

    /// What a chunk's gradient goes into.
    pub(super) fn gradients(&self, chunk: Chunk) -> Result<Vec<Step>> {
        let (layer, mut steps) = (self.layer, Vec::new());
        let ([first_row, rows], [first_class, classes]) = (chunk.rows, chunk.classes);
        let from = |first: u64| if first == 0 { Start::Zero } else { Start::Stored };
        if let Some(region) = layer.dhidden {
            steps.extend(self.product(
                Product {
                    form: Form::Plain,
                    rows,
                    columns: layer.width,
                    depth: classes,
                    left: chunk.operand(),
                    right: self.of_classes(Role::Weight, layer.weight, chunk),
                    output: self.of_rows(Role::Dhidden, region, chunk),
                    start: from(first_class),
                    bias: None,
                },
                first_row,
            )?);
        }
        if let Some(region) = layer.dweight {
            steps.extend(self.product(
                Product {
                    form: Form::LeftTransposed,
                    rows: classes,
                    columns: layer.width,
                    depth: rows,
                    left: chunk.operand(),
                    right: self.of_rows(Role::Hidden, layer.hidden, chunk),
                    output: self.of_classes(Role::Dweight, region, chunk),
                    start: from(first_row),
                    bias: None,
                },
                first_row,
            )?);
        }
        if let Some(region) = layer.dbias {
            let dbias = self.of_classes(Role::Dbias, region, chunk).region;
            let in_time = (self.tuning.elements_a_dispatch() / chunk.classes[1].max(1)).max(1);
            for rows in parts(rows, MAX_DEPTH.min(in_time)) {
                steps.push(self.column_sums(dbias, chunk, rows));
            }
        }
        Ok(steps)
    }

    fn column_sums(&self, dbias: Region, chunk: Chunk, rows: [u64; 2]) -> Step {
        let (input, classes, [first, rows]) = (chunk.operand().region, chunk.classes[1], rows);
        let first_row = chunk.rows[0] + first;
        let start = input.bytes(first * input.row_stride);
        let (from, residual) = window(self.caps, Slot::Input, start, input.extent(rows, classes));
        let (to, offset) = window(self.caps, Slot::Output, dbias.offset, dbias.bytes(classes));
        let size = 64.min(self.caps.lanes());
        let grid = grid(classes.div_ceil(size.into()), self.caps.max_workgroups);
        Step {
            kernel: Kernel::ColumnSums,
            workgroup_size: size,
            grid,
            cost: rows * classes,
            params: Params {
                rows: rows as u32,
                columns: classes as u32,
                grid_width: grid[0],
                input_offset: (residual / 4) as u32,
                input_stride: input.row_stride as u32,
                output_offset: (offset / 4) as u32,
                first_row: first_row as u32,
                continued: u32::from(first_row > 0),
                ..bytemuck::Zeroable::zeroed()
            },
            bindings: vec![from, Bound { role: Role::Dbias, ..to }],
        }
    }

    /// A chunk's rows of a matrix.
    fn of_rows(&self, role: Role, region: Region, chunk: Chunk) -> Operand {
        operand(role, region, chunk.rows[0] - self.origin.row, region.row_stride)
    }

    /// A chunk's classes of a matrix, or of a vector.
    fn of_classes(&self, role: Role, region: Region, chunk: Chunk) -> Operand {
        operand(role, region, chunk.classes[0] - self.origin.class, region.row_stride.max(1))
    }
}

impl Chunk {
    /// Where it lies in the buffer of a chunk.
    pub(super) fn operand(self) -> Operand {
        Operand { role: Role::Slot(Slot::Input), region: chunk_region(self.classes[1]) }
    }
}

/// A matrix from a row on, or a vector from an element on.
fn operand(role: Role, region: Region, first: u64, stride: u64) -> Operand {
    let offset = region.offset + region.bytes(first * stride);
    Operand { role, region: Region { offset, ..region } }
}

/// How a chunk of logits lies in its buffer.
pub(crate) fn chunk_region(classes: u64) -> Region {
    Region { offset: 0, row_stride: classes, dtype: Dtype::F32 }
}
