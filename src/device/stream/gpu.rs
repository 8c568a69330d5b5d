//! Windows on a GPU: the same buffers for each of them, the sums of the whole batch on the device.

use super::op::Stream;
use super::parts::{Made, Parts};
use super::{Batch, Counts, Part, Total};
use crate::clock::Clock;
use crate::device::gpu::OwnedGpu;
use crate::device::timings::Timings;
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::gpu::{
    CrossEntropyBuffers, Description, DivergenceBuffers, ElementwiseBuffers, MatrixBuffer,
    OutputBuffer, Record, RowResultBuffers, TargetsBuffer, TransformBuffers, UpstreamBuffer,
    VectorBuffer, WindowedCall,
};
use crate::matrix::{Array, Matrix};
use crate::op::{Metrics, Targets, Upstream, folded};

/// Where in its batch a window stands.
pub(super) struct At<'b> {
    pub(super) batch: &'b Batch<'b>,
    /// Its first row.
    pub(super) first: usize,
}

/// A batch's shape as the kernels see it.
#[derive(Debug, Clone, Copy)]
struct Shape {
    rows: u64,
    columns: u64,
    /// Rows that there is room for.
    room: u64,
}

impl Shape {
    fn elements(self) -> u64 {
        self.room * self.columns
    }
}

/// What a window is uploaded to.
#[doc(hidden)]
#[derive(Debug)]
pub struct Buffers {
    shape: Shape,
    stored: Dtype,
    input: wgpu::Buffer,
    second: Option<wgpu::Buffer>,
    factors: Option<wgpu::Buffer>,
    /// Of the whole batch.
    targets: Option<(wgpu::Buffer, bool)>,
    dloss: Option<wgpu::Buffer>,
    losses: Option<wgpu::Buffer>,
}

#[derive(Debug)]
pub(super) struct GpuStream {
    buffers: Buffers,
    call: WindowedCall,
    made: Made,
}

/// Uploads a window, computes and downloads. The first one says what there is to prepare.
pub(super) async fn push<O: Stream>(
    op: &O,
    gpu: &OwnedGpu,
    (stream, timings): (&mut Option<GpuStream>, &mut Timings),
    parts: Parts<'_>,
    at: At<'_>,
) -> Result<Part> {
    let stream = if let Some(stream) = stream {
        stream
    } else {
        let clock = Clock::start();
        let buffers = Buffers::new(gpu, op.result(), &parts, at.batch).await?;
        timings.upload += clock.elapsed();
        let clock = Clock::start();
        let description = op.describe_window(&buffers, &parts)?;
        let call = WindowedCall::begin(gpu.context(), description, buffers.shape.room).await?;
        timings.compute += clock.elapsed();
        stream.insert(GpuStream { buffers, call, made: op.result() })
    };
    stream.push(gpu, timings, parts, at).await
}

impl Buffers {
    async fn new(gpu: &OwnedGpu, made: Made, parts: &Parts<'_>, batch: &Batch<'_>) -> Result<Self> {
        let matrices = [Some(parts.input), parts.second, parts.factors];
        let stored = gpu.storage(matrices.iter().flatten().map(Matrix::dtype));
        let mut shape = Shape {
            rows: batch.rows() as u64,
            columns: batch.columns() as u64,
            room: batch.window_rows() as u64,
        };
        if !made.by_column() {
            let room = shape.elements();
            (shape.rows, shape.columns) = folded(shape.rows * shape.columns);
            shape.room = (room / shape.columns).max(1);
        }
        let bytes = shape.elements() * stored.size() as u64;
        let input = gpu.allocate(bytes).await?;
        let second = match parts.second {
            Some(_) => Some(gpu.allocate(bytes).await?),
            None => None,
        };
        let factors = match parts.factors {
            Some(_) => Some(gpu.allocate(bytes).await?),
            None => None,
        };
        let dloss = match parts.upstream {
            Upstream::Scalar(_) => None,
            Upstream::Each(_) => {
                let losses = if made.by_element() { shape.elements() } else { shape.room };
                Some(gpu.allocate(losses * 4).await?)
            }
        };
        let losses = match made {
            Made::ElementLosses { each: true, .. } => {
                Some(gpu.allocate(shape.elements() * 4).await?)
            }
            _ => None,
        };
        let targets = match batch.targets() {
            Some(targets) => {
                let buffer = gpu.allocate(targets.len() as u64 * 8).await?;
                gpu.upload_indices(&buffer, targets).await?;
                Some((buffer, matches!(targets, Targets::I32(_))))
            }
            None => None,
        };
        Ok(Self { shape, stored, input, second, factors, targets, dloss, losses })
    }

    fn view<'b>(&self, buffer: &'b wgpu::Buffer, stored: Dtype) -> MatrixBuffer<'b> {
        let Shape { rows, columns, room } = self.shape;
        MatrixBuffer::new(buffer, rows, columns).with_dtype(stored).with_room(room)
    }

    fn input(&self) -> MatrixBuffer<'_> {
        self.view(&self.input, self.stored)
    }

    fn second(&self, what: &'static str) -> Result<MatrixBuffer<'_>> {
        self.second.as_ref().map(|buffer| self.view(buffer, self.stored)).ok_or_else(|| {
            let reason = "is missing in the first window".to_owned();
            Error::InvalidInput { what, reason }
        })
    }

    fn upstream(&self, parts: &Parts<'_>) -> UpstreamBuffer<'_> {
        match (&self.dloss, parts.upstream) {
            (Some(dloss), _) => {
                UpstreamBuffer::Rows(VectorBuffer::new(dloss).with_room(self.shape.room))
            }
            (None, Upstream::Scalar(dloss)) => UpstreamBuffer::Scalar(dloss as f32),
            (None, Upstream::Each(_)) => UpstreamBuffer::default(),
        }
    }

    pub(super) fn describe_row_loss<'b, O>(
        &'b self,
        op: &O,
        parts: &Parts<'_>,
        made: Made,
    ) -> Result<Description<'b>>
    where
        O: Record<Buffers<'b> = CrossEntropyBuffers<'b>>,
    {
        let targets = match &self.targets {
            Some((buffer, true)) => TargetsBuffer::I32(VectorBuffer::new(buffer)),
            Some((buffer, false)) => TargetsBuffer::I64(VectorBuffer::new(buffer)),
            None => TargetsBuffer::Probs(self.second("targets")?),
        };
        let mut buffers =
            CrossEntropyBuffers::new(self.input(), targets).with_upstream(self.upstream(parts));
        if made.matrices() > 0 {
            buffers = buffers.with_dlogits(OutputBuffer::InPlace);
        }
        op.describe(buffers)
    }

    pub(super) fn describe_divergence<'b, O>(
        &'b self,
        op: &O,
        parts: &Parts<'_>,
        made: Made,
    ) -> Result<Description<'b>>
    where
        O: Record<Buffers<'b> = DivergenceBuffers<'b>>,
    {
        let mut buffers = DivergenceBuffers::new(self.second("teacher")?, self.input())
            .with_upstream(self.upstream(parts));
        if made.matrices() > 0 {
            buffers = buffers.with_dstudent(OutputBuffer::InPlace);
        }
        op.describe(buffers)
    }

    pub(super) fn describe_elementwise<'b, O>(
        &'b self,
        op: &O,
        parts: &Parts<'_>,
        made: Made,
    ) -> Result<Description<'b>>
    where
        O: Record<Buffers<'b> = ElementwiseBuffers<'b>>,
    {
        let mut buffers = ElementwiseBuffers::new(self.input(), self.second("targets")?);
        if let Some(factors) = &self.factors {
            buffers = buffers.with_weights(self.view(factors, self.stored));
        }
        buffers = buffers.with_upstream(match &self.dloss {
            Some(dloss) => UpstreamBuffer::Elements(self.view(dloss, Dtype::F32)),
            None => self.upstream(parts),
        });
        if let Some(losses) = &self.losses {
            let losses = OutputBuffer::Separate(self.view(losses, Dtype::F32));
            buffers = buffers.with_losses(losses);
        }
        if made.matrices() > 0 {
            buffers = buffers.with_dinput(OutputBuffer::InPlace);
        }
        op.describe(buffers)
    }

    pub(super) fn describe_transform<'b, O>(&'b self, op: &O) -> Result<Description<'b>>
    where
        O: Record<Buffers<'b> = TransformBuffers<'b>>,
    {
        op.describe(TransformBuffers { logits: self.input(), output: OutputBuffer::InPlace })
    }

    pub(super) fn describe_rows<'b, O>(&'b self, op: &O) -> Result<Description<'b>>
    where
        O: Record<Buffers<'b> = RowResultBuffers<'b>>,
    {
        op.describe(RowResultBuffers { logits: self.input() })
    }

    async fn upload(&self, gpu: &OwnedGpu, parts: &Parts<'_>) -> Result<()> {
        gpu.upload_to(&self.input, parts.input.values(), self.stored).await?;
        let others = [(&self.second, parts.second), (&self.factors, parts.factors)];
        for (buffer, matrix) in others {
            match (buffer, matrix) {
                (Some(buffer), Some(matrix)) => {
                    gpu.upload_to(buffer, matrix.values(), self.stored).await?;
                }
                (None, None) => {}
                _ => return Err(unlike("its matrices")),
            }
        }
        match (&self.dloss, parts.upstream) {
            (Some(buffer), Upstream::Each(dloss)) => gpu.upload_to(buffer, dloss, Dtype::F32).await,
            (None, Upstream::Scalar(_)) => Ok(()),
            _ => Err(unlike("its upstream gradient")),
        }
    }
}

fn unlike(what: &str) -> Error {
    let reason = format!("{what} are not those of the first window");
    Error::InvalidInput { what: "window", reason }
}

impl GpuStream {
    async fn push(
        &self,
        gpu: &OwnedGpu,
        timings: &mut Timings,
        parts: Parts<'_>,
        at: At<'_>,
    ) -> Result<Part> {
        let (first, rows) = self.rows(&parts, at.first)?;
        let clock = Clock::start();
        self.buffers.upload(gpu, &parts).await?;
        timings.upload += clock.elapsed();
        let clock = Clock::start();
        self.call.window(first, rows).await?;
        timings.compute += clock.elapsed();

        let clock = Clock::start();
        let (mut part, elements) = (Part::default(), rows * self.buffers.shape.columns);
        if self.made.matrices() > 0 {
            let (stored, dtype) = (self.buffers.stored, parts.input.dtype());
            part.matrix =
                Some(gpu.download_from(&self.buffers.input, elements, [stored, dtype]).await?);
        }
        if let Some(losses) = &self.buffers.losses {
            let f32s = [Dtype::F32; 2];
            part.each = Some(gpu.download_from(losses, elements, f32s).await?);
        }
        match self.made {
            Made::RowLosses { .. } => {
                let stats = self.call.read_stats(first, rows).await?;
                let (losses, lse) = stats.into_iter().map(|[loss, lse]| (loss, lse)).unzip();
                part.each = self.call.has_losses_each().then_some(Array::F32(losses));
                part.lse = Some(Array::F32(lse));
            }
            Made::Rows { column } => {
                let stats = self.call.read_stats(first, rows).await?;
                part.each = Some(Array::F32(stats.iter().map(|row| row[column]).collect()));
            }
            Made::ElementLosses { .. } | Made::Matrix => {}
        }
        timings.download += clock.elapsed();
        Ok(part)
    }

    /// A window's first row and how many they are, in the kernels' shape.
    fn rows(&self, parts: &Parts<'_>, first: usize) -> Result<(u64, u64)> {
        let columns = self.buffers.shape.columns;
        let own = parts.input.classes() as u64;
        let (first, elements) = (first as u64 * own, parts.input.values().len() as u64);
        if first.is_multiple_of(columns) && elements.is_multiple_of(columns) {
            return Ok((first / columns, elements / columns));
        }
        Err(Error::ShapeMismatch {
            what: "window",
            expected: format!("rows of {columns} elements on this device, see Batch::of_elements"),
            found: format!("{elements} elements"),
        })
    }

    pub(super) async fn finish(self, counts: &Counts, timings: &mut Timings) -> Result<Total> {
        let clock = Clock::start();
        self.call.end().await?;
        timings.compute += clock.elapsed();
        let clock = Clock::start();
        let summary = self.call.read_summary().await?;
        timings.download += clock.elapsed();
        let Counts { mut kept_rows, mut total_weight, .. } = *counts;
        if let (Some(summary), Some(_)) = (&summary, &self.buffers.targets) {
            (kept_rows, total_weight) = (summary.kept_rows.into(), summary.total_weight.into());
        }
        let loss = summary
            .as_ref()
            .filter(|_| !self.call.has_losses_each())
            .map(|summary| summary.loss.into());
        let metrics = summary.as_ref().filter(|_| self.call.has_metrics()).map(|summary| {
            Metrics::new(Vec::new(), summary.correct.into(), summary.nll.into(), kept_rows)
        });
        Ok(Total { loss, kept_rows, total_weight, metrics })
    }
}
