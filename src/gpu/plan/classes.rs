//! A layer that comes in blocks of classes. Tiles of a block's logits are swept as those of a whole
//! layer's are, and the pieces of all rows stay in scratch for the next block. When all were there, rows
//! are finished, and their coefficients stay; the blocks come again, and a chunk of logits, of all rows,
//! becomes its gradient by the kernel that writes the columns of split rows.

use super::layer::{Chunk, OnDevice, Origin, Planner};
use super::product::parts;
use super::tiles::Tiles;
use super::{Plan, too_large};
use crate::error::{Error, Result};

/// Classes that a chunk is a multiple of, where it has as many: those of the largest tile.
const CHUNK_UNIT: u64 = 128;

impl OnDevice<'_> {
    /// What comes before the first block, with the buffers that all of it needs.
    pub(crate) fn begin_classes(self) -> Result<Plan> {
        let planner = self.planner(Origin { row: 0, class: 0 })?;
        let tiles = tiles(&planner)?;
        let mut plan = planner.windows(self.problem).begin()?;
        plan.scratch_bytes = plan.scratch_bytes.max(tiles.scratch_of_all());
        if self.layer.has_gradient() {
            plan.logits_bytes = 4 * self.problem.rows * self.chunk_classes()?;
        }
        Ok(plan)
    }

    /// The first pass over so many classes from the first, with which the layer's buffers begin.
    pub(crate) fn sweep_classes(self, classes: [u64; 2]) -> Result<Plan> {
        let planner = self.planner(Origin { row: 0, class: classes[0] })?;
        let tiles = tiles(&planner)?;
        let mut windows = tiles.windows()?;
        for (rows, scratch) in tiles.row_parts() {
            tiles.sweep(&mut windows, Chunk { rows, classes }, scratch);
        }
        Ok(Plan { steps: windows.steps, ..Plan::default() })
    }

    /// What comes between the passes, or after the only one. The sums over rows have to wait: in scratch
    /// they lie where the coefficients are.
    pub(crate) fn finish_rows(self) -> Result<Plan> {
        let planner = self.planner(Origin { row: 0, class: 0 })?;
        let tiles = tiles(&planner)?;
        let mut windows = tiles.windows()?;
        for (rows, scratch) in tiles.row_parts() {
            tiles.finish(&mut windows, rows, scratch);
        }
        Ok(Plan { steps: windows.steps, ..Plan::default() })
    }

    /// The second pass over so many classes from the first, with which the layer's buffers begin.
    pub(crate) fn class_gradients(self, [first, classes]: [u64; 2]) -> Result<Plan> {
        let planner = self.planner(Origin { row: 0, class: first })?;
        let tiles = tiles(&planner)?;
        let mut steps = Vec::new();
        for part in parts(classes, self.chunk_classes()?) {
            let classes = [first + part[0], part[1]];
            let chunk = Chunk { rows: [0, self.problem.rows], classes };
            steps.extend(planner.product(planner.logits(chunk), chunk.rows[0])?);
            let mut windows = tiles.windows()?;
            tiles.columns(&mut windows, classes);
            steps.extend(windows.steps);
            steps.extend(planner.gradients(chunk)?);
        }
        Ok(Plan { steps, ..Plan::default() })
    }

    /// Classes whose logits, of all rows, fit the scratch and a binding.
    fn chunk_classes(self) -> Result<u64> {
        let room = self.caps.max_binding_bytes.saturating_sub(self.caps.storage_alignment);
        let column = 4 * self.problem.rows;
        if column > room {
            return Err(too_large("the logits of a class", column, room));
        }
        let scratch = self.layer.scratch_bytes;
        if column > scratch {
            let reason = format!("{scratch} bytes do not hold the {column} needed");
            return Err(Error::InvalidInput { what: "scratch_bytes", reason });
        }
        let fitting = (scratch.min(room) / column.max(1)).min(self.problem.classes);
        let is_cut = fitting >= CHUNK_UNIT && fitting < self.problem.classes;
        let cut = if is_cut { fitting % CHUNK_UNIT } else { 0 };
        Ok(fitting - cut)
    }
}

fn tiles<'a>(planner: &'a Planner<'a>) -> Result<Tiles<'a>> {
    Tiles::of_blocks(planner)?.ok_or_else(|| Error::DeviceTooSmall {
        device: "in use".to_owned(),
        reason: "it has no room for tiles of logits, or too few bindings for them".to_owned(),
    })
}
