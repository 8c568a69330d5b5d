//! What a GPU holds of a batch that comes in windows: the matrices of one, the targets of all.

use super::Batch;
use super::parts::{Made, Parts};
use crate::device::gpu::OwnedGpu;
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::gpu::{
    CrossEntropyBuffers, Description, DivergenceBuffers, ElementwiseBuffers, MaskBuffer,
    MatrixBuffer, OutputBuffer, Piece, Record, RowBackwardBuffers, RowResultBuffers, TargetsBuffer,
    TransformBuffers, UpstreamBuffer, VectorBuffer,
};
use crate::matrix::Matrix;
use crate::op::{Targets, Upstream, folded};

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
    /// Of a window's elements, or of all rows.
    mask: Option<wgpu::Buffer>,
    /// How many elements of the batch count.
    kept_elements: u64,
}

impl Buffers {
    pub(super) async fn new(
        gpu: &OwnedGpu,
        made: Made,
        parts: &Parts<'_>,
        batch: &Batch<'_>,
    ) -> Result<Self> {
        let matrices = [Some(parts.input), parts.second, parts.factors];
        let stored = gpu.storage(matrices.iter().flatten().map(Matrix::dtype));
        let mut shape = Shape {
            rows: batch.rows() as u64,
            columns: batch.columns() as u64,
            room: batch.window_rows() as u64,
        };
        if !made.by_column() {
            let room = shape.elements();
            (shape.rows, shape.columns) = folded(shape.rows.saturating_mul(shape.columns));
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
        let mask = match (parts.mask, batch.mask) {
            (Some(_), _) if made.by_element() => Some(gpu.allocate(shape.elements()).await?),
            (_, Some(of_rows)) => {
                let buffer = gpu.allocate(of_rows.len() as u64).await?;
                gpu.upload_mask_to(&buffer, of_rows).await?;
                Some(buffer)
            }
            _ => None,
        };
        let elements = batch.rows().saturating_mul(batch.columns());
        let kept_elements = batch.kept_elements.unwrap_or(elements) as u64;
        Ok(Self {
            shape,
            stored,
            input,
            second,
            factors,
            targets,
            dloss,
            losses,
            mask,
            kept_elements,
        })
    }

    /// Rows that there is room for, in the kernels' shape.
    pub(super) fn room(&self) -> u64 {
        self.shape.room
    }

    /// How its matrices are stored.
    pub(super) fn stored(&self) -> Dtype {
        self.stored
    }

    /// Rows of the batch, in the kernels' shape.
    pub(super) fn batch_rows(&self) -> u64 {
        self.shape.rows
    }

    /// A window's first row and how many they are, in the kernels' shape.
    pub(super) fn rows(&self, parts: &Parts<'_>, first: usize) -> Result<[u64; 2]> {
        let columns = self.shape.columns;
        let own = parts.input.classes() as u64;
        let (first, elements) = (first as u64 * own, parts.input.values().len() as u64);
        if first.is_multiple_of(columns) && elements.is_multiple_of(columns) {
            return Ok([first / columns, elements / columns]);
        }
        Err(Error::ShapeMismatch {
            what: "window",
            expected: format!("rows of {columns} elements on this device, see Batch::of_elements"),
            found: format!("{elements} elements"),
        })
    }

    /// What is made in the place of the input.
    pub(super) fn matrix(&self, rows: u64) -> Piece<'_> {
        self.piece(&self.input, rows, self.stored)
    }

    /// The losses of elements, if they are not reduced.
    pub(super) fn losses(&self, rows: u64) -> Option<Piece<'_>> {
        self.losses.as_ref().map(|losses| self.piece(losses, rows, Dtype::F32))
    }

    fn piece<'b>(&self, buffer: &'b wgpu::Buffer, rows: u64, stored: Dtype) -> Piece<'b> {
        Piece { buffer, offset: 0, bytes: rows * self.shape.columns * stored.size() as u64 }
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

    fn mask(&self) -> Option<MaskBuffer<'_>> {
        self.mask.as_ref().map(MaskBuffer::new)
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
        if let Some(mask) = self.mask() {
            buffers = buffers.with_mask(mask);
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
        if let Some(mask) = self.mask() {
            buffers = buffers.with_mask(mask);
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
        if let Some(mask) = self.mask() {
            let mask = mask.with_room(self.shape.elements());
            buffers = buffers.with_counted_mask(mask, self.kept_elements);
        }
        op.describe(buffers)
    }

    pub(super) fn describe_transform<'b, O>(&'b self, op: &O) -> Result<Description<'b>>
    where
        O: Record<Buffers<'b> = TransformBuffers<'b>>,
    {
        let buffers = TransformBuffers::new(self.input(), OutputBuffer::InPlace);
        op.describe(buffers.with_mask(self.mask()))
    }

    pub(super) fn describe_rows<'b, O>(&'b self, op: &O) -> Result<Description<'b>>
    where
        O: Record<Buffers<'b> = RowResultBuffers<'b>>,
    {
        op.describe(RowResultBuffers::new(self.input()).with_mask(self.mask()))
    }

    pub(super) fn describe_row_backward<'b, O>(
        &'b self,
        op: &O,
        what: &'static str,
    ) -> Result<Description<'b>>
    where
        O: Record<Buffers<'b> = RowBackwardBuffers<'b>>,
    {
        let dloss = self.dloss.as_ref().ok_or_else(|| {
            let reason = "is missing in the first window".to_owned();
            Error::InvalidInput { what, reason }
        })?;
        let upstream = VectorBuffer::new(dloss).with_room(self.shape.room);
        let (logits, dlogits) = (self.input(), OutputBuffer::InPlace);
        let buffers = RowBackwardBuffers::new(logits, upstream, dlogits);
        op.describe(buffers.with_mask(self.mask()))
    }

    /// A window like the first.
    pub(super) async fn upload(&self, gpu: &OwnedGpu, parts: &Parts<'_>, made: Made) -> Result<()> {
        if let (Some(buffer), Some(mask), true) = (&self.mask, parts.mask, made.by_element()) {
            gpu.upload_mask_to(buffer, mask).await?;
        }
        gpu.upload_to(&self.input, parts.input.values(), self.stored).await?;
        let others = [(&self.second, parts.second), (&self.factors, parts.factors)];
        for (buffer, matrix) in others {
            if let (Some(buffer), Some(matrix)) = (buffer, matrix) {
                gpu.upload_to(buffer, matrix.values(), self.stored).await?;
            }
        }
        match (&self.dloss, parts.upstream) {
            (Some(buffer), Upstream::Each(dloss)) => gpu.upload_to(buffer, dloss, Dtype::F32).await,
            _ => Ok(()),
        }
    }
}
