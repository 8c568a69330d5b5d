//! What a GPU holds of a batch that comes in windows: the matrices of one, the targets of all.

use super::Batch;
use crate::device::gpu::{OwnedGpu, Pooled};
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::gpu::{
    BackwardBuffers, CrossEntropyBuffers, Description, DivergenceBuffers, ElementwiseBuffers,
    MaskBuffer, MatrixBuffer, OutputBuffer, Piece, Record as _, RowBackwardBuffers,
    RowResultBuffers, TargetType, TargetsBuffer, TransformBuffers, UpstreamBuffer, VectorBuffer,
    divergence, elementwise,
};
use crate::matrix::Matrix;
use crate::op::{
    Data, ElementwiseSpec, Entropy, EntropyBackward, Kind, LogSoftmax, LogSoftmaxBackward,
    LogSumExp, LogSumExpBackward, OutputKind, Softmax, SoftmaxBackward, Surprisal, Transform, Unit,
    Upstream, folded,
};

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
#[derive(Debug)]
pub(super) struct Buffers<'a> {
    shape: Shape,
    stored: Dtype,
    input: Pooled<'a>,
    second: Option<Pooled<'a>>,
    factors: Option<Pooled<'a>>,
    /// Of the whole batch.
    targets: Option<(Pooled<'a>, TargetType)>,
    dloss: Option<Pooled<'a>>,
    losses: Option<Pooled<'a>>,
    dtargets: Option<Pooled<'a>>,
    /// Of a window's elements, or of all rows.
    mask: Option<Pooled<'a>>,
    /// How many elements of the batch count.
    kept_elements: u64,
}

impl<'a> Buffers<'a> {
    pub(super) async fn new(
        gpu: &'a OwnedGpu,
        kind: &Kind<'_>,
        data: &Data<'_>,
        batch: &Batch<'_>,
    ) -> Result<Self> {
        let output = kind.output();
        let matrices = [Some(data.input), data.second, data.factors];
        let stored = gpu.storage(matrices.iter().flatten().map(Matrix::dtype));
        let mut shape = Shape {
            rows: batch.rows() as u64,
            columns: batch.columns() as u64,
            room: batch.window_rows() as u64,
        };
        if !output.by_column() {
            let room = shape.elements();
            (shape.rows, shape.columns) = folded(shape.rows.saturating_mul(shape.columns));
            shape.room = (room / shape.columns).max(1);
        }
        let take = |is_wanted: bool, bytes: u64| async move {
            Ok::<_, Error>(if is_wanted { Some(gpu.take(bytes).await?) } else { None })
        };
        let bytes = shape.elements() * stored.size() as u64;
        let has_dtargets = matches!(kind, Kind::CrossEntropy(op) if op.has_target_gradient());
        let has_losses = matches!(output, OutputKind::ElementLosses { each: true, .. });
        let has_dloss = matches!(data.upstream, Upstream::Each(_));
        let losses = if output.by_element() { shape.elements() } else { shape.room };
        let elements = batch.rows().saturating_mul(batch.columns());
        Ok(Self {
            shape,
            stored,
            input: gpu.take(bytes).await?,
            second: take(data.second.is_some(), bytes).await?,
            factors: take(data.factors.is_some(), bytes).await?,
            targets: match batch.targets {
                Some(targets) => Some(gpu.upload_indices(targets).await?),
                None => None,
            },
            dloss: take(has_dloss, losses * 4).await?,
            losses: take(has_losses, shape.elements() * 4).await?,
            dtargets: take(has_dtargets, bytes).await?,
            mask: match (data.mask, batch.mask) {
                (Some(_), _) if output.by_element() => Some(gpu.take(shape.elements()).await?),
                (_, Some(of_rows)) => {
                    let mask = gpu.take(of_rows.len() as u64).await?;
                    gpu.upload_mask(&mask.buffer, of_rows).await?;
                    Some(mask)
                }
                _ => None,
            },
            kept_elements: batch.kept_elements.unwrap_or(elements) as u64,
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
    pub(super) fn rows(&self, data: &Data<'_>, first: usize) -> Result<[u64; 2]> {
        let columns = self.shape.columns;
        let own = data.input.columns() as u64;
        let (first, elements) = (first as u64 * own, data.input.values().len() as u64);
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

    /// The gradient of probability targets, if it is asked for.
    pub(super) fn dtargets(&self, rows: u64) -> Option<Piece<'_>> {
        self.dtargets.as_ref().map(|dtargets| self.piece(dtargets, rows, self.stored))
    }

    fn piece<'b>(&self, buffer: &'b Pooled<'_>, rows: u64, stored: Dtype) -> Piece<'b> {
        buffer.start(rows * self.shape.columns * stored.size() as u64)
    }

    fn view<'b>(&self, buffer: &'b Pooled<'_>, stored: Dtype) -> MatrixBuffer<'b> {
        let Shape { rows, columns, room } = self.shape;
        MatrixBuffer::new(&buffer.buffer, rows, columns).with_dtype(stored).with_room(room)
    }

    fn input(&self) -> MatrixBuffer<'_> {
        self.view(&self.input, self.stored)
    }

    fn second(&self) -> Result<MatrixBuffer<'_>> {
        let second = self.second.as_ref().ok_or_else(|| missing("second matrix"))?;
        Ok(self.view(second, self.stored))
    }

    fn mask(&self) -> Option<MaskBuffer<'_>> {
        self.mask.as_ref().map(|mask| MaskBuffer::new(&mask.buffer))
    }

    fn dloss(&self) -> Option<VectorBuffer<'_>> {
        let dloss = self.dloss.as_ref();
        dloss.map(|dloss| VectorBuffer::new(&dloss.buffer).with_room(self.shape.room))
    }

    fn upstream(&self, data: &Data<'_>) -> UpstreamBuffer<'_> {
        UpstreamBuffer::of_rows(data.upstream, self.dloss())
    }

    /// The operation on these buffers.
    pub(super) fn describe(&self, kind: &Kind<'_>, data: &Data<'_>) -> Result<Description<'_>> {
        match kind {
            Kind::CrossEntropy(op) => op.describe(self.labelled(kind, data)?),
            Kind::Focal(op) => op.describe(self.labelled(kind, data)?),
            Kind::LinearCrossEntropy(_) => Err(missing("layer")),
            Kind::Divergence(spec) => {
                let mut buffers = DivergenceBuffers::new(self.second()?, self.input())
                    .with_upstream(self.upstream(data))
                    .with_mask(self.mask());
                if spec.common.gradient {
                    buffers = buffers.with_dstudent(OutputBuffer::InPlace);
                }
                divergence(spec, &buffers)
            }
            Kind::Elementwise(spec) => elementwise(spec, &self.elements(spec, data)?),
            Kind::Transform(op, unit) => self.transform(*op, *unit),
        }
    }

    fn labelled(&self, kind: &Kind<'_>, data: &Data<'_>) -> Result<CrossEntropyBuffers<'_>> {
        let targets = match &self.targets {
            Some((indices, TargetType::I32)) => {
                TargetsBuffer::I32(VectorBuffer::new(&indices.buffer))
            }
            Some((indices, TargetType::I64)) => {
                TargetsBuffer::I64(VectorBuffer::new(&indices.buffer))
            }
            None => TargetsBuffer::Probs(self.second()?),
        };
        let mut buffers = CrossEntropyBuffers::new(self.input(), targets)
            .with_upstream(self.upstream(data))
            .with_mask(self.mask());
        if kind.output().has_matrix() {
            buffers = buffers.with_dlogits(OutputBuffer::InPlace);
        }
        if let Some(dtargets) = &self.dtargets {
            buffers = buffers.with_dtargets(self.view(dtargets, self.stored));
        }
        Ok(buffers)
    }

    fn elements(
        &self,
        spec: &ElementwiseSpec<'_>,
        data: &Data<'_>,
    ) -> Result<ElementwiseBuffers<'_>> {
        let mut buffers = ElementwiseBuffers::new(self.input(), self.second()?);
        if let Some(factors) = &self.factors {
            buffers = buffers.with_weights(self.view(factors, self.stored));
        }
        buffers = buffers.with_upstream(match &self.dloss {
            Some(dloss) => UpstreamBuffer::Elements(self.view(dloss, Dtype::F32)),
            None => self.upstream(data),
        });
        if let Some(losses) = &self.losses {
            let losses = OutputBuffer::Separate(self.view(losses, Dtype::F32));
            buffers = buffers.with_losses(losses);
        }
        if spec.common.gradient {
            buffers = buffers.with_dinput(OutputBuffer::InPlace);
        }
        if let Some(mask) = self.mask() {
            let mask = mask.with_room(self.shape.elements());
            buffers = buffers.with_counted_mask(mask, self.kept_elements);
        }
        Ok(buffers)
    }

    fn transform(&self, op: Transform, unit: Unit) -> Result<Description<'_>> {
        let (input, mask) = (self.input(), self.mask());
        let matrix = || TransformBuffers::new(input, OutputBuffer::InPlace).with_mask(mask);
        let rows = || RowResultBuffers::new(input).with_mask(mask);
        let backward = || {
            let buffers = BackwardBuffers::new(input, self.second()?, OutputBuffer::InPlace);
            Ok::<_, Error>(buffers.with_mask(mask))
        };
        let row_backward = || {
            let upstream = self.dloss().ok_or_else(|| missing("upstream gradient"))?;
            let buffers = RowBackwardBuffers::new(input, upstream, OutputBuffer::InPlace);
            Ok::<_, Error>(buffers.with_mask(mask))
        };
        match op {
            Transform::Softmax => Softmax.describe(matrix()),
            Transform::LogSoftmax => LogSoftmax.describe(matrix()),
            Transform::Surprisal => Surprisal::new().with_unit(unit).describe(matrix()),
            Transform::LogSumExp => LogSumExp.describe(rows()),
            Transform::Entropy => Entropy::new().with_unit(unit).describe(rows()),
            Transform::SoftmaxBackward => SoftmaxBackward.describe(backward()?),
            Transform::LogSoftmaxBackward => LogSoftmaxBackward.describe(backward()?),
            Transform::LogSumExpBackward => LogSumExpBackward.describe(row_backward()?),
            Transform::EntropyBackward => {
                EntropyBackward::new().with_unit(unit).describe(row_backward()?)
            }
        }
    }

    /// A window like the first.
    pub(super) async fn upload(
        &self,
        gpu: &OwnedGpu,
        data: &Data<'_>,
        output: OutputKind,
    ) -> Result<()> {
        // That of rows is there already.
        if let (Some(buffer), Some(mask), true) = (&self.mask, data.mask, output.by_element()) {
            gpu.upload_mask(&buffer.buffer, mask).await?;
        }
        gpu.upload_to(&self.input.buffer, data.input.values(), self.stored).await?;
        let others = [(&self.second, data.second), (&self.factors, data.factors)];
        for (buffer, matrix) in others {
            if let (Some(buffer), Some(matrix)) = (buffer, matrix) {
                gpu.upload_to(&buffer.buffer, matrix.values(), self.stored).await?;
            }
        }
        match (&self.dloss, data.upstream) {
            (Some(buffer), Upstream::Each(dloss)) => {
                gpu.upload_to(&buffer.buffer, dloss, Dtype::F32).await
            }
            _ => Ok(()),
        }
    }
}

fn missing(what: &'static str) -> Error {
    Error::InvalidInput { what, reason: "is missing in the first window".to_owned() }
}
