//! From a linear layer with cross-entropy behind it to dispatches: a chunk of rows is multiplied, made
//! its own gradient by the plan of a window of rows, and multiplied on.

use super::bind::window;
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
const CHUNK_UNIT: u64 = 128;

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
}

/// A layer on a device.
pub(super) struct Planner<'a> {
    pub(super) layer: &'a Layer,
    pub(super) problem: &'a Problem,
    pub(super) caps: &'a Caps,
    pub(super) tuning: &'a Tuning,
    /// Rows of logits that there are at a time.
    room: u64,
    /// The batch's row that the buffers of its rows begin with.
    pub(super) origin: u64,
}

impl Layer {
    /// The dispatches of a problem over the layer's logits.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub fn plan(&self, problem: &Problem, caps: &Caps, tuning: &Tuning) -> Result<Plan> {
        let mut plan = self.begin(problem, caps, tuning)?;
        plan.steps.extend(self.window(problem, caps, tuning, [0, problem.rows])?.steps);
        plan.steps.extend(self.end(problem, caps, tuning)?.steps);
        Ok(plan)
    }

    /// What comes before the first row, with the buffers that all of it needs.
    pub(crate) fn begin(&self, problem: &Problem, caps: &Caps, tuning: &Tuning) -> Result<Plan> {
        let planner = self.planner(problem, caps, tuning, 0)?;
        let mut plan = planner.windows(problem).begin()?;
        match Tiles::new(&planner)? {
            Some(tiles) => plan.scratch_bytes = plan.scratch_bytes.max(tiles.scratch_bytes()),
            None => plan.logits_bytes = planner.room * problem.input.bytes(problem.classes),
        }
        Ok(plan)
    }

    /// So many rows from the first, with which the buffers of rows start.
    pub(crate) fn window(
        &self,
        problem: &Problem,
        caps: &Caps,
        tuning: &Tuning,
        [first, rows]: [u64; 2],
    ) -> Result<Plan> {
        let planner = self.planner(problem, caps, tuning, first)?;
        let mut plan = Plan::default();
        match Tiles::new(&planner)? {
            Some(tiles) => plan.steps = tiles.steps([first, rows])?,
            None => plan.steps = planner.chunks([first, rows])?,
        }
        Ok(plan)
    }

    /// What comes after the last row.
    pub(crate) fn end(&self, problem: &Problem, caps: &Caps, tuning: &Tuning) -> Result<Plan> {
        self.planner(problem, caps, tuning, 0)?.windows(problem).end()
    }

    fn planner<'a>(
        &'a self,
        problem: &'a Problem,
        caps: &'a Caps,
        tuning: &'a Tuning,
        origin: u64,
    ) -> Result<Planner<'a>> {
        let (row, limit) = (problem.input.bytes(problem.classes), caps.max_binding_bytes);
        if row > limit {
            return Err(too_large("a row of logits", row, limit));
        }
        let rows = self.scratch_bytes.min(limit) / row.max(1);
        let rows = rows.min(problem.rows).max(1);
        let cut = if rows < problem.rows && rows > CHUNK_UNIT { rows % CHUNK_UNIT } else { 0 };
        Ok(Planner { layer: self, problem, caps, tuning, room: rows - cut, origin })
    }

    pub(super) fn has_gradient(&self) -> bool {
        self.dhidden.is_some() || self.dweight.is_some() || self.dbias.is_some()
    }
}

impl Planner<'_> {
    pub(super) fn windows<'b>(&'b self, problem: &'b Problem) -> Windows<'b> {
        Windows { problem, caps: self.caps, tuning: self.tuning, room: self.room }
    }

    fn chunks(&self, [first, rows]: [u64; 2]) -> Result<Vec<Step>> {
        let mut steps = Vec::new();
        for chunk in parts(rows, self.room).map(|[start, rows]| [first + start, rows]) {
            steps.extend(self.product(self.logits(chunk))?);
            steps.extend(self.windows(&self.over(chunk)).window(chunk[0], chunk[1])?.steps);
            for gradient in self.gradients(chunk) {
                steps.extend(self.product(gradient)?);
            }
            if let Some(dbias) = self.layer.dbias {
                steps.extend(
                    parts(chunk[1], MAX_DEPTH)
                        .map(|rows| self.column_sums(dbias, rows, chunk[0] + rows[0] > 0)),
                );
            }
        }
        Ok(steps)
    }

    fn product(&self, product: Product) -> Result<Vec<Step>> {
        product.steps(self.caps, self.tuning)
    }

    /// The problem as a chunk's window sees it, whose upstream gradient is that of the whole batch.
    fn over(&self, chunk: [u64; 2]) -> Problem {
        let mut problem = self.problem.clone();
        if let UpstreamRegion::Rows(offset) = &mut problem.upstream {
            *offset += 4 * (chunk[0] - self.origin);
        }
        problem
    }

    fn chunk_operand(&self) -> Operand {
        Operand { role: Role::Slot(Slot::Input), region: self.problem.input }
    }

    pub(super) fn logits(&self, [first, rows]: [u64; 2]) -> Product {
        let layer = self.layer;
        let bias = layer.bias.map(|region| Operand { role: Role::Bias, region });
        Product {
            form: Form::RightTransposed,
            rows,
            columns: self.problem.classes,
            depth: layer.width,
            left: rows_from(Role::Hidden, layer.hidden, first - self.origin),
            right: Operand { role: Role::Weight, region: layer.weight },
            output: self.chunk_operand(),
            start: if bias.is_some() { Start::Bias } else { Start::Zero },
            bias,
        }
    }

    /// The products of a chunk's gradient.
    fn gradients(&self, [first, rows]: [u64; 2]) -> impl Iterator<Item = Product> {
        let (layer, classes) = (self.layer, self.problem.classes);
        let dhidden = layer.dhidden.map(|region| Product {
            form: Form::Plain,
            rows,
            columns: layer.width,
            depth: classes,
            left: self.chunk_operand(),
            right: Operand { role: Role::Weight, region: layer.weight },
            output: rows_from(Role::Dhidden, region, first - self.origin),
            start: Start::Zero,
            bias: None,
        });
        let dweight = layer.dweight.map(|region| Product {
            form: Form::LeftTransposed,
            rows: classes,
            columns: layer.width,
            depth: rows,
            left: self.chunk_operand(),
            right: rows_from(Role::Hidden, layer.hidden, first - self.origin),
            output: Operand { role: Role::Dweight, region },
            start: if first == 0 { Start::Zero } else { Start::Stored },
            bias: None,
        });
        dhidden.into_iter().chain(dweight)
    }

    fn column_sums(&self, dbias: Region, [first, rows]: [u64; 2], continued: bool) -> Step {
        let (input, classes) = (self.problem.input, self.problem.classes);
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
                continued: continued.into(),
                ..bytemuck::Zeroable::zeroed()
            },
            bindings: vec![from, Bound { role: Role::Dbias, ..to }],
        }
    }
}

/// The rows of a matrix from one on.
fn rows_from(role: Role, region: Region, first: u64) -> Operand {
    let offset = region.offset + region.bytes(first * region.row_stride);
    Operand { role, region: Region { offset, ..region } }
}

/// How a chunk of logits lies in its buffer.
pub(crate) fn chunk_region(classes: u64) -> Region {
    Region { offset: 0, row_stride: classes, dtype: Dtype::F32 }
}
