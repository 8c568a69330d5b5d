//! A call on a batch of which the device holds a window of rows at a time.

use std::collections::HashMap;

use super::{Call, Owned, RowMetrics, dispatches, pipelines};
use crate::error::{Error, Result};
use crate::gpu::context::Gpu;
use crate::gpu::plan::{Layer, OnDevice, Plan, Problem, Role, Windows};
use crate::gpu::record::Description;
use crate::gpu::transfer::Piece;
use crate::op::Metrics;

/// [`Call`], for windows that come one after the other into the same buffers. What it comes to has
/// the bits of a call on the whole batch.
#[derive(Debug)]
pub(crate) struct WindowedCall {
    gpu: Gpu,
    name: &'static str,
    problem: Problem,
    /// What makes the logits, where they are not in a buffer.
    layer: Option<Layer>,
    roles: HashMap<Role, wgpu::Buffer>,
    owned: Owned,
    /// Rows that the matrices' buffers have room for.
    room: u64,
}

impl WindowedCall {
    /// Prepares, and does what comes before the rows. Submits.
    pub(crate) async fn begin(gpu: &Gpu, description: Description<'_>, room: u64) -> Result<Self> {
        Self::prepare(gpu, description, room, Self::plan_begin).await
    }

    /// [`Self::begin`] for a layer that comes in blocks of classes.
    pub(crate) async fn begin_classes(gpu: &Gpu, description: Description<'_>) -> Result<Self> {
        let rows = description.problem.rows;
        Self::prepare(gpu, description, rows, |call| call.layer()?.begin_classes()).await
    }

    async fn prepare(
        gpu: &Gpu,
        description: Description<'_>,
        room: u64,
        plan: impl FnOnce(&Self) -> Result<Plan>,
    ) -> Result<Self> {
        let Description { name, problem, roles, weights, layer } = description;
        let roles = roles.into_iter().map(|(role, buffer)| (role, buffer.clone())).collect();
        let (gpu, owned) = (gpu.clone(), Owned::default());
        let mut call = Self { gpu, name, problem, layer, roles, owned, room };
        let plan = plan(&call)?;
        let owned = |gpu: &Gpu| Owned::new(gpu, &plan, weights.as_deref());
        call.owned = call.gpu.scoped(name, owned).await??;
        call.submit(&plan).await?;
        Ok(call)
    }

    /// Takes a larger buffer for what it had one for.
    pub(crate) fn replace(&mut self, role: Role, buffer: wgpu::Buffer) {
        self.roles.insert(role, buffer);
    }

    /// The rows that are in the buffers now, so many from the first. Submits; waits for a layer, which
    /// takes its time.
    pub(crate) async fn window(&self, first: u64, rows: u64) -> Result<()> {
        match &self.layer {
            Some(_) => self.run(self.layer()?.window([first, rows])?).await,
            None => self.submit(&self.windows().window(first, rows)?).await,
        }
    }

    /// The first pass over the classes that are in the buffers now, so many from the first. Submits
    /// and waits.
    pub(crate) async fn sweep_classes(&self, classes: [u64; 2]) -> Result<()> {
        self.run(self.layer()?.sweep_classes(classes)?).await
    }

    /// What comes after the first pass. Submits and waits.
    pub(crate) async fn finish_rows(&self) -> Result<()> {
        self.run(self.layer()?.finish_rows()?).await
    }

    /// The second pass over the classes that are in the buffers now. Submits and waits.
    pub(crate) async fn class_gradients(&self, classes: [u64; 2]) -> Result<()> {
        self.run(self.layer()?.class_gradients(classes)?).await
    }

    fn plan_begin(&self) -> Result<Plan> {
        match &self.layer {
            Some(_) => self.layer()?.begin(),
            None => self.windows().begin(),
        }
    }

    fn windows(&self) -> Windows<'_> {
        let (caps, tuning) = (self.gpu.caps(), self.gpu.tuning_ref());
        Windows { problem: &self.problem, caps, tuning, room: self.room, reads_results: true }
    }

    fn layer(&self) -> Result<OnDevice<'_>> {
        let (caps, tuning) = (self.gpu.caps(), self.gpu.tuning_ref());
        let of = |layer| OnDevice { layer, problem: &self.problem, caps, tuning };
        self.layer.as_ref().map(of).ok_or_else(|| {
            let reason = "there is no layer in blocks".to_owned();
            Error::InvalidInput { what: self.name, reason }
        })
    }

    async fn run(&self, plan: Plan) -> Result<()> {
        self.submit(&plan).await?;
        self.gpu.wait().await
    }

    async fn submit(&self, plan: &Plan) -> Result<()> {
        let pipelines = pipelines(&self.gpu, &plan.steps).await?;
        let bind = |gpu: &Gpu| {
            dispatches(gpu, (&plan.steps, &(0..0)), pipelines, &self.owned, &self.roles)
        };
        let dispatches = self.gpu.scoped(self.name, bind).await??;
        let parts = (dispatches, &self.owned);
        Call::of(&self.gpu, self.name, &self.problem, parts).submit().await
    }

    /// The results of so many rows, if the operation has them: of a window, or from the first of them in
    /// the batch where a layer makes the logits.
    pub(crate) fn stats(&self, first: u64, rows: u64) -> Option<Piece<'_>> {
        let row = self.problem.stats_row();
        let first = if self.layer.is_some() { first } else { 0 };
        let piece = |buffer| Piece { buffer, offset: first * row, bytes: rows * row };
        self.owned.stats.as_ref().map(piece)
    }

    /// (loss, lse) of each row, from its results.
    pub(crate) fn losses<'b>(&self, stats: &'b [u8]) -> impl Iterator<Item = [f32; 2]> + 'b {
        let row = self.problem.stats_row() as usize;
        stats.chunks_exact(row).map(|row| bytemuck::pod_read_unaligned(&row[..8]))
    }

    /// (loss, lse) of so many rows from the first.
    pub(crate) async fn read_stats(&self, first: u64, rows: u64) -> Result<Vec<[f32; 2]>> {
        let mut stats = Vec::new();
        if let Some(Piece { buffer, offset, bytes }) = self.stats(first, rows) {
            self.gpu.read_with(buffer, offset, bytes, |part| stats.extend_from_slice(part)).await?;
        }
        Ok(self.losses(&stats).collect())
    }

    /// What the results of some rows say of metrics, if the operation has them.
    pub(crate) fn push_metrics(&self, stats: &[u8], metrics: &mut RowMetrics) {
        if self.has_metrics() {
            stats.chunks_exact(self.problem.stats_row() as usize).for_each(|row| metrics.push(row));
        }
    }

    /// The metrics of all rows that are not ignored, where a layer makes the logits, if the operation
    /// has them.
    pub(crate) async fn read_metrics(&self) -> Result<Option<Metrics>> {
        if self.has_metrics() { self.call().read_metrics().await.map(Some) } else { Ok(None) }
    }

    pub(crate) fn has_metrics(&self) -> bool {
        self.problem.loss.metrics
    }

    fn call(&self) -> Call {
        Call::of(&self.gpu, self.name, &self.problem, (Vec::new(), &self.owned))
    }
}
