//! Losses of batches that are streamed.

use std::time::Instant;

use surprisal::{Array, Loss, Op, Reduction, Targets};

use super::UpstreamData::{Each, Later, One};
use super::{Job, Outcome};
use crate::args::MemoryLimit;
use crate::error::Result;
use crate::files::InputArray;
use crate::stream::{Context, Files, FromAbove, Mask, Matrices, Rows};

/// A batch to be streamed, of whichever loss.
pub(super) struct StreamedFiles<'a> {
    /// The input first.
    pub(super) matrices: Vec<InputArray>,
    pub(super) targets: Option<Targets<'a>>,
    pub(super) mask: Mask<'a>,
    pub(super) rows: Rows,
    /// What the gradient's tensor is called.
    pub(super) gradient: &'static str,
    /// What the losses are of, from how many rows were kept.
    pub(super) over: &'a dyn Fn(u64) -> String,
    /// Bytes that are in memory already.
    pub(super) resident: u64,
}

impl Job<'_> {
    /// How much memory a batch may take, if that was said and there is a batch.
    pub(super) fn limit(&self) -> Option<&MemoryLimit> {
        let limit = self.start.args.common.memory_limit.as_ref();
        limit.filter(|_| self.work.rows * self.work.classes > 0)
    }

    /// Whether the batch is to be streamed.
    pub(super) fn streams(&self) -> bool {
        self.limit().is_some()
    }

    /// Streams the batch, writes what it comes to, and reports.
    pub(super) fn stream<O: Op>(
        mut self,
        op: &O,
        batch: StreamedFiles<'_>,
        join: impl for<'w> Fn(&'w Matrices<'w>) -> O::Input<'w>,
    ) -> Result<()> {
        let Some(limit) = self.limit().cloned() else { return Ok(()) };
        let StreamedFiles { mut matrices, targets, mask, rows, gradient, over, resident } = batch;
        let reduction = Reduction::from(self.start.args.reduction);
        let is_reduced = reduction != Reduction::None;
        let mut upstream = std::mem::replace(&mut self.upstream, One(1.0));
        let (upstream, bytes) = match &mut upstream {
            One(number) => (FromAbove::One(*number), 0),
            Each(data) => (FromAbove::Each(data), data.as_bytes().len() as u64),
            Later(file) => (FromAbove::File(file), 0),
        };
        let resident = resident + bytes;
        let files = Files {
            matrices: &mut matrices,
            upstream,
            targets,
            mask,
            resident,
            rows,
            matrix: Some(("--grad", gradient, &self.shape)),
            each: (!is_reduced).then_some(("--out", "loss", &self.each)),
            lse: Some(("--lse", "lse", &self.each)),
        };
        let mut clock = self.start.clock.clone();
        let mut outputs = std::mem::take(&mut self.files);
        let mut context = Context {
            device: &self.device,
            outputs: &mut outputs,
            progress: &self.progress,
            clock: &mut clock,
            limit: &limit,
            asked: self.work.asked,
        };
        let streamed = context.run(op, files, join, &|error| self.blame(error))?;
        (self.start.clock, self.files) = (clock, outputs);
        let total = streamed.total;
        let loss = total.loss.map_or(Loss::Each(Array::F32(Vec::new())), Loss::Reduced);
        let (kept_rows, total_weight) = (total.kept_rows, total.total_weight);
        let outcome = Outcome {
            loss,
            lse: None,
            gradient: (gradient, None),
            metrics: total.metrics,
            kept_rows,
            total_weight,
            over: over(kept_rows),
        };
        let started = Instant::now();
        if is_reduced {
            self.write_loss(&outcome.loss)?;
        }
        self.conclude(&outcome, &streamed.timings, started)
    }
}
