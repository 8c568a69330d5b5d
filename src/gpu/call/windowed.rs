//! A call on a batch of which the device holds a window of rows at a time.

use std::collections::HashMap;

use super::{Call, Owned, dispatches, pipelines};
use crate::error::Result;
use crate::gpu::context::Gpu;
use crate::gpu::params::Summary;
use crate::gpu::plan::{Layer, Plan, Problem, Role, Windows};
use crate::gpu::record::Description;
use crate::op::{Metrics, Reduction};

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
        let Description { name, problem, roles, weights, layer } = description;
        let plan = match &layer {
            Some(layer) => layer.begin(&problem, gpu.caps(), gpu.tuning_ref())?,
            None => windows(gpu, &problem, room).begin()?,
        };
        let owned = gpu.scoped(name, |gpu| Owned::new(gpu, &plan, weights.as_deref())).await??;
        let roles = roles.into_iter().map(|(role, buffer)| (role, buffer.clone())).collect();
        let call = Self { gpu: gpu.clone(), name, problem, layer, roles, owned, room };
        call.submit(&plan).await?;
        Ok(call)
    }

    /// Takes a larger buffer for what it had one for.
    pub(crate) fn replace(&mut self, role: Role, buffer: wgpu::Buffer) {
        self.roles.insert(role, buffer);
    }

    /// The rows that are in the buffers now, so many from the first. Submits and waits.
    pub(crate) async fn window(&self, first: u64, rows: u64) -> Result<()> {
        let (gpu, problem) = (&self.gpu, &self.problem);
        let plan = match &self.layer {
            Some(layer) => layer.window(problem, gpu.caps(), gpu.tuning_ref(), [first, rows])?,
            None => windows(gpu, problem, self.room).window(first, rows)?,
        };
        self.submit(&plan).await?;
        self.gpu.wait().await
    }

    /// What comes after the rows. Submits.
    pub(crate) async fn end(&self) -> Result<()> {
        let (gpu, problem) = (&self.gpu, &self.problem);
        let plan = match &self.layer {
            Some(layer) => layer.end(problem, gpu.caps(), gpu.tuning_ref())?,
            None => windows(gpu, problem, self.room).end()?,
        };
        self.submit(&plan).await
    }

    async fn submit(&self, plan: &Plan) -> Result<()> {
        let pipelines = pipelines(&self.gpu, &plan.steps).await?;
        let bind = |gpu: &Gpu| dispatches(gpu, &plan.steps, pipelines, &self.owned, &self.roles);
        let dispatches = self.gpu.scoped(self.name, bind).await??;
        let parts = (dispatches, &self.owned);
        Call::of(&self.gpu, self.name, &self.problem, parts).submit().await
    }

    /// What all windows came to, if the operation has that.
    pub(crate) async fn read_summary(&self) -> Result<Option<Summary>> {
        let call = self.call();
        match call.summary() {
            Some(_) => Ok(Some(call.read_summary().await?)),
            None => Ok(None),
        }
    }

    /// (loss, lse) of so many rows from the first.
    pub(crate) async fn read_stats(&self, first: u64, rows: u64) -> Result<Vec<[f32; 2]>> {
        let mut stats = Vec::with_capacity(rows as usize);
        let row = |row: &[u8]| stats.push(bytemuck::pod_read_unaligned(&row[..8]));
        self.call().read_some_rows([first, rows], row).await?;
        Ok(stats)
    }

    /// The metrics of all rows, if the operation has them.
    pub(crate) async fn read_metrics(&self) -> Result<Option<Metrics>> {
        if self.has_metrics() { self.call().read_metrics().await.map(Some) } else { Ok(None) }
    }

    /// Whether losses are not reduced.
    pub(crate) fn has_losses_each(&self) -> bool {
        self.problem.reduction == Reduction::None
    }

    pub(crate) fn has_metrics(&self) -> bool {
        self.problem.loss.metrics
    }

    fn call(&self) -> Call {
        Call::of(&self.gpu, self.name, &self.problem, (Vec::new(), &self.owned))
    }
}

fn windows<'a>(gpu: &'a Gpu, problem: &'a Problem, room: u64) -> Windows<'a> {
    Windows { problem, caps: gpu.caps(), tuning: gpu.tuning_ref(), room }
}
