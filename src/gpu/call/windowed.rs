//! A call on a batch of which the device holds a window of rows at a time.

use std::collections::HashMap;

use super::{Call, Owned, dispatches, pipelines};
use crate::error::Result;
use crate::gpu::context::Gpu;
use crate::gpu::params::Summary;
use crate::gpu::plan::{Plan, Problem, Role, Windows};
use crate::gpu::record::Description;
use crate::gpu::transfer::Piece;
use crate::op::Reduction;

/// [`Call`], for windows that come one after the other into the same buffers. What it comes to has
/// the bits of a call on the whole batch.
#[derive(Debug)]
pub(crate) struct WindowedCall {
    gpu: Gpu,
    name: &'static str,
    problem: Problem,
    roles: HashMap<Role, wgpu::Buffer>,
    owned: Owned,
    /// Rows that the matrices' buffers have room for.
    room: u64,
}

impl WindowedCall {
    /// Prepares, and does what comes before the rows. Submits.
    pub(crate) async fn begin(gpu: &Gpu, description: Description<'_>, room: u64) -> Result<Self> {
        let Description { name, problem, roles, weights, .. } = description;
        let plan = windows(gpu, &problem, room).begin()?;
        let owned = gpu.scoped(name, |gpu| Owned::new(gpu, &plan, weights.as_deref())).await??;
        let roles = roles.into_iter().map(|(role, buffer)| (role, buffer.clone())).collect();
        let call = Self { gpu: gpu.clone(), name, problem, roles, owned, room };
        call.submit(&plan).await?;
        Ok(call)
    }

    /// The rows that are in the buffers now, so many from the first. Submits.
    pub(crate) async fn window(&self, first: u64, rows: u64) -> Result<()> {
        let plan = windows(&self.gpu, &self.problem, self.room).window(first, rows)?;
        self.submit(&plan).await
    }

    /// What comes after the rows. Submits.
    pub(crate) async fn end(&self) -> Result<()> {
        let plan = windows(&self.gpu, &self.problem, self.room).end()?;
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

    /// The results of so many rows from the first, if the operation has them.
    pub(crate) fn stats(&self, first: u64, rows: u64) -> Option<Piece<'_>> {
        let row = self.problem.stats_row();
        let piece = |buffer| Piece { buffer, offset: first * row, bytes: rows * row };
        self.owned.stats.as_ref().map(piece)
    }

    /// (loss, lse) of each row, from its results.
    pub(crate) fn losses<'b>(&self, stats: &'b [u8]) -> impl Iterator<Item = [f32; 2]> + 'b {
        let row = self.problem.stats_row() as usize;
        stats.chunks_exact(row).map(|row| bytemuck::pod_read_unaligned(&row[..8]))
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
