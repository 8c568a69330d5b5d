//! Plans of a batch whose rows come window by window: the kernels, the splits and the blocks are those
//! of the whole batch, and so are the bits.

use super::{Plan, Planner, Problem, ROW_BLOCK};
use crate::error::Result;
use crate::gpu::caps::{Caps, Tuning};
use crate::op::Reduction;

/// Which rows of a batch the buffers of its matrices hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    /// The first of them.
    pub(super) first: u64,
    /// How many there is room for.
    pub(super) rows: u64,
}

/// A problem on a device, of whose matrices some rows are there at a time.
pub(crate) struct Windows<'a> {
    pub(crate) problem: &'a Problem,
    pub(crate) caps: &'a Caps,
    pub(crate) tuning: &'a Tuning,
    /// Rows that the matrices' buffers have room for.
    pub(crate) room: u64,
    /// Whether a window's results of rows are read before the next one's take their place, and the host
    /// sums them.
    pub(crate) reads_results: bool,
}

impl<'a> Windows<'a> {
    pub(super) fn planner(&self, first: u64) -> Result<Planner<'a>> {
        let mut planner = Planner::new(self.problem, self.caps, self.tuning)?;
        planner.held = Held { first, rows: self.room };
        if self.reads_results {
            planner.results = planner.held;
            planner.sums_rows = false;
        }
        planner.window_rows = planner.window_rows.min(self.room).max(1);
        Ok(planner)
    }

    /// What comes before the first window, with the buffers that all of it needs.
    pub(crate) fn begin(&self) -> Result<Plan> {
        // A window's steps tell which buffers there have to be.
        let mut planner = self.planner(0)?;
        planner.begin();
        let before = planner.steps.len();
        planner.rows_of([0, self.room.min(self.problem.rows)]);
        let mut plan = planner.finish()?;
        plan.steps.truncate(before);
        Ok(plan)
    }

    /// So many rows from `first`, with which the matrices' buffers start.
    pub(crate) fn window(&self, first: u64, rows: u64) -> Result<Plan> {
        let mut planner = self.planner(first)?;
        planner.rows_of([first, rows]);
        planner.finish()
    }

    /// What comes after the last.
    pub(crate) fn end(&self) -> Result<Plan> {
        let mut planner = self.planner(0)?;
        planner.end();
        planner.finish()
    }
}

impl Planner<'_> {
    pub(super) fn blocks(&self) -> u64 {
        self.problem.rows.div_ceil(ROW_BLOCK)
    }

    /// What comes before the rows.
    pub(super) fn begin(&mut self) {
        self.make_masks();
        if let Some(targets) = self.problem.targets {
            self.scan_targets(targets, self.blocks());
        }
        self.count_elements();
    }

    pub(super) fn rows_of(&mut self, [first, rows]: [u64; 2]) {
        let problem = self.problem;
        for first_row in (first..first + rows).step_by(self.window_rows as usize) {
            let rows = self.window_rows.min(first + rows - first_row);
            for pass in &problem.passes {
                self.row_steps(pass, first_row, rows);
            }
        }
    }

    /// What comes after the rows.
    pub(super) fn end(&mut self) {
        let problem = self.problem;
        if problem.has_stats() && problem.reduction != Reduction::None {
            self.sum_losses(self.blocks());
        }
        if problem.loss.metrics {
            self.sum_metrics(self.blocks());
        }
    }
}
