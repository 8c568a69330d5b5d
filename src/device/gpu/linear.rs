//! Cross-entropy of a linear layer on a GPU: the layer and its gradients stay on the device while the
//! rows of a batch pass, in windows or all at once.

use super::{OwnedGpu, Pooled};
use crate::clock::Clock;
use crate::cpu::{InstructionSet, LossSum};
use crate::device::timings::Timings;
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::gpu::plan::Role;
use crate::gpu::{
    LinearCrossEntropyBuffers, MatrixBuffer, Record as _, Slot, TargetType, TargetsBuffer,
    UpstreamBuffer, VectorBuffer, WindowedCall,
};
use crate::matrix::{Array, Matrix, Values};
use crate::op::{
    KeptRows, LinearCrossEntropy, LinearCrossEntropyInput, LinearCrossEntropyOutput, Loss,
    Reduction, RowTargets, Upstream, upstream_of_rows,
};

impl OwnedGpu {
    pub(crate) async fn linear_cross_entropy(
        &self,
        op: &LinearCrossEntropy,
        input: &LinearCrossEntropyInput<'_>,
    ) -> Result<(LinearCrossEntropyOutput, Timings)> {
        op.validate(input)?;
        let of_rows = op.loss().rows(input.targets, input.mask);
        let mut batch = LinearBatch::new(self, op, (input.weight, input.bias), of_rows);
        let rows = batch.window(input).await?;
        let (mut output, timings) = batch.finish().await?;
        if op.loss().reduction() == Reduction::None {
            output.loss = Loss::Each(rows.losses);
        }
        (output.lse, output.dhidden) = (rows.lse, rows.dhidden);
        if let Some(metrics) = &mut output.metrics {
            let kept = KeptRows::new(&of_rows);
            metrics.argmax = kept.spread(std::mem::take(&mut metrics.argmax), -1);
        }
        Ok((output, timings))
    }
}

/// A batch on its way through a linear layer. Ignored rows stay behind: what comes to the device is
/// kept.
#[derive(Debug)]
pub(crate) struct LinearBatch<'a> {
    gpu: &'a OwnedGpu,
    op: LinearCrossEntropy,
    weight: Matrix<'a>,
    bias: Option<Values<'a>>,
    /// Of all rows.
    of_rows: RowTargets<'a>,
    /// There from the first kept row on.
    resident: Option<Resident<'a>>,
    /// Kept rows that are done, and the sum of their losses.
    done: u64,
    sum: LossSum,
    timings: Timings,
}

/// What a window of rows comes to.
#[derive(Debug)]
pub(crate) struct LinearRows {
    pub(crate) losses: Array,
    pub(crate) lse: Array,
    pub(crate) dhidden: Option<Array>,
}

/// What is on the device for all windows.
#[derive(Debug)]
struct Resident<'a> {
    call: WindowedCall,
    /// How `hidden` and the weights are stored.
    stored: Dtype,
    rows: RowBuffers<'a>,
    dweight: Option<Pooled<'a>>,
    dbias: Option<Pooled<'a>>,
    /// What the call reads: not to be used for anything else before it is through.
    _inputs: Vec<Pooled<'a>>,
}

/// What windows of rows are uploaded to, and where their gradient goes.
#[derive(Debug)]
struct RowBuffers<'a> {
    /// Rows that there is room for.
    room: u64,
    hidden: Pooled<'a>,
    probs: Option<Pooled<'a>>,
    dhidden: Option<Pooled<'a>>,
    dloss: Option<Pooled<'a>>,
}

/// Rows of a window, all of which count.
#[derive(Clone, Copy)]
struct Window<'w> {
    hidden: Matrix<'w>,
    /// Their targets, where these are probabilities.
    probs: Option<Matrix<'w>>,
    upstream: Upstream<'w>,
}

impl<'a> LinearBatch<'a> {
    /// `of_rows` are all rows.
    pub(crate) fn new(
        gpu: &'a OwnedGpu,
        op: &LinearCrossEntropy,
        (weight, bias): (Matrix<'a>, Option<Values<'a>>),
        of_rows: RowTargets<'a>,
    ) -> Self {
        let (op, timings) = (op.clone(), Timings::default());
        Self {
            gpu,
            op,
            weight,
            bias,
            of_rows,
            resident: None,
            done: 0,
            sum: LossSum::default(),
            timings,
        }
    }

    pub(crate) fn timings(&self) -> Timings {
        self.timings
    }

    /// The next rows, whose `input` has been validated.
    pub(crate) async fn window(
        &mut self,
        input: &LinearCrossEntropyInput<'_>,
    ) -> Result<LinearRows> {
        let kept = KeptRows::new(&self.op.loss().rows(input.targets, input.mask));
        let (width, probs) = (input.hidden.columns(), input.targets.probs());
        if kept.len() == 0 {
            let zeros = |count| Array::F32(vec![0.0; count]);
            let elements = input.hidden.values().len();
            let dhidden = Array::zeroed(input.hidden.dtype(), elements);
            let (losses, lse) = (zeros(input.hidden.rows()), zeros(input.hidden.rows()));
            let dhidden = self.op.has_hidden_gradient().then_some(dhidden);
            return Ok(LinearRows { losses, lse, dhidden });
        }
        if kept.are_all() {
            let (hidden, upstream) = (input.hidden, input.upstream);
            return self.kept(Window { hidden, probs, upstream }).await;
        }
        let hidden = kept.gather(&input.hidden);
        let hidden = Matrix::new(hidden.values(), kept.len(), width)?;
        let of_kept = probs.map(|probs| kept.gather(&probs));
        let probs = match &of_kept {
            Some(of_kept) => Some(Matrix::new(of_kept.values(), kept.len(), self.weight.rows())?),
            None => None,
        };
        let dloss = upstream_of_rows(input.upstream, kept.rows());
        let upstream = dloss.as_ref().map_or(input.upstream, |dloss| Upstream::Each(dloss.into()));
        let rows = self.kept(Window { hidden, probs, upstream }).await?;
        Ok(LinearRows {
            losses: kept.spread_array(rows.losses, 1),
            lse: kept.spread_array(rows.lse, 1),
            dhidden: rows.dhidden.map(|dhidden| kept.spread_array(dhidden, width)),
        })
    }

    /// Rows of which none is ignored.
    async fn kept(&mut self, window: Window<'_>) -> Result<LinearRows> {
        let (hidden, clock) = (window.hidden, Clock::start());
        let resident = if let Some(resident) = &mut self.resident {
            resident
        } else {
            let resident = self.begin(window).await?;
            self.resident.insert(resident)
        };
        let rows = hidden.rows() as u64;
        if rows > resident.rows.room {
            resident.rows = RowBuffers::new(self.gpu, &self.op, window).await?;
            resident.rows.replace_in(&mut resident.call);
        }
        resident.rows.upload(self.gpu, window, resident.stored).await?;
        self.timings.upload += clock.elapsed();

        let clock = Clock::start();
        resident.call.window(self.done, rows).await?;
        self.timings.compute += clock.elapsed();

        let clock = Clock::start();
        let stats = resident.call.read_stats(self.done, rows).await?;
        let (losses, lse): (Vec<f32>, _) = stats.into_iter().map(|[loss, lse]| (loss, lse)).unzip();
        self.sum.push(&losses);
        let dhidden = match &resident.rows.dhidden {
            Some(dhidden) => {
                let piece = dhidden.start(4 * hidden.values().len() as u64);
                Some(self.gpu.download(piece, [Dtype::F32, hidden.dtype()]).await?)
            }
            None => None,
        };
        self.timings.download += clock.elapsed();
        self.done += rows;
        Ok(LinearRows { losses: Array::F32(losses), lse: Array::F32(lse), dhidden })
    }

    /// Uploads what all rows need, and does what comes before them.
    async fn begin(&self, window: Window<'_>) -> Result<Resident<'a>> {
        let (gpu, op) = (self.gpu, &self.op);
        let stored = gpu.storage([window.hidden.dtype(), self.weight.dtype()]);
        let kept = KeptRows::new(&self.of_rows);
        let weight = gpu.upload(self.weight.values(), stored).await?;
        let indices = self.upload_indices(&kept).await?;
        let bias = match self.bias {
            Some(bias) => Some(gpu.upload(bias, Dtype::F32).await?),
            None => None,
        };
        let rows = RowBuffers::new(gpu, op, window).await?;
        let floats = |asked: bool, count: usize| async move {
            Ok::<_, Error>(if asked { Some(gpu.take(count as u64 * 4).await?) } else { None })
        };
        let dweight = floats(op.has_weight_gradient(), self.weight.values().len()).await?;
        let has_bias = op.has_bias_gradient() && self.bias.is_some();
        let dbias = floats(has_bias, self.weight.rows()).await?;

        let (classes, width) = (self.weight.rows() as u64, self.weight.columns() as u64);
        let kept_rows = kept.len() as u64;
        let mut buffers = LinearCrossEntropyBuffers::new(
            rows.view(&rows.hidden, kept_rows, width).with_dtype(stored),
            MatrixBuffer::new(&weight.buffer, classes, width).with_dtype(stored),
            match (&indices, &rows.probs) {
                (Some((indices, TargetType::I32)), _) => {
                    TargetsBuffer::I32(VectorBuffer::new(&indices.buffer))
                }
                (Some((indices, TargetType::I64)), _) => {
                    TargetsBuffer::I64(VectorBuffer::new(&indices.buffer))
                }
                (None, Some(probs)) => TargetsBuffer::Probs(rows.view(probs, kept_rows, classes)),
                (None, None) => return Err(without_targets()),
            },
        )
        .with_upstream(rows.upstream(window.upstream));
        if let Some(bias) = &bias {
            buffers = buffers.with_bias(VectorBuffer::new(&bias.buffer));
        }
        if let Some(dhidden) = &rows.dhidden {
            buffers = buffers.with_dhidden(rows.view(dhidden, kept_rows, width));
        }
        if let Some(dweight) = &dweight {
            buffers = buffers.with_dweight(MatrixBuffer::new(&dweight.buffer, classes, width));
        }
        if let Some(dbias) = &dbias {
            buffers = buffers.with_dbias(VectorBuffer::new(&dbias.buffer));
        }
        let call = WindowedCall::begin(gpu.context(), op.describe(buffers)?, rows.room).await?;
        let indices = indices.map(|(indices, _)| indices);
        Ok(Resident {
            call,
            stored,
            rows,
            dweight,
            dbias,
            _inputs: [Some(weight), indices, bias].into_iter().flatten().collect(),
        })
    }

    /// Uploads the class indices of all rows that count, unless targets are probabilities.
    async fn upload_indices(&self, kept: &KeptRows) -> Result<Option<(Pooled<'a>, TargetType)>> {
        let all = self.of_rows.targets;
        if all.probs().is_some() {
            return Ok(None);
        }
        if kept.are_all() {
            return self.gpu.upload_indices(all).await.map(Some);
        }
        let of_kept: Vec<i64> = kept.rows().iter().map(|&row| all.index(row)).collect();
        self.gpu.upload_indices((&of_kept).into()).await.map(Some)
    }

    /// What all rows come to: everything but what is a row's own.
    pub(crate) async fn finish(mut self) -> Result<(LinearCrossEntropyOutput, Timings)> {
        let Some(resident) = self.resident.take() else {
            let nothing = Matrix::new(&[] as &[f32], 0, self.weight.columns())?;
            let input = LinearCrossEntropyInput::new(nothing, self.weight, &[] as &[i64])
                .with_bias(self.bias);
            let of_nothing =
                crate::cpu::linear_cross_entropy(InstructionSet::best(), &self.op, &input)?;
            return Ok((of_nothing, self.timings));
        };
        let clock = Clock::start();
        let loss = self.op.loss();
        let (kept_rows, total_weight) = loss.totals(&self.of_rows);
        let divisor = loss.normalizer().unwrap_or(total_weight);
        let output = LinearCrossEntropyOutput {
            loss: Loss::Reduced(self.sum.reduced(loss.reduction(), divisor)),
            lse: Array::F32(Vec::new()),
            dhidden: None,
            dweight: self.gradient(resident.dweight.as_ref(), self.weight.values()).await?,
            dbias: match self.bias {
                Some(bias) => self.gradient(resident.dbias.as_ref(), bias).await?,
                None => None,
            },
            metrics: resident.call.read_metrics().await?,
            kept_rows,
            total_weight,
        };
        self.timings.download += clock.elapsed();
        Ok((output, self.timings))
    }

    /// A gradient, rounded once.
    async fn gradient(&self, of: Option<&Pooled<'_>>, like: Values<'_>) -> Result<Option<Array>> {
        let Some(gradient) = of else { return Ok(None) };
        let piece = gradient.start(4 * like.len() as u64);
        self.gpu.download(piece, [Dtype::F32, like.dtype()]).await.map(Some)
    }
}

impl<'a> RowBuffers<'a> {
    /// As much room as some rows need.
    async fn new(
        gpu: &'a OwnedGpu,
        op: &LinearCrossEntropy,
        Window { hidden, probs, upstream }: Window<'_>,
    ) -> Result<Self> {
        let bytes = hidden.values().len() as u64 * 4;
        Ok(Self {
            room: hidden.rows() as u64,
            hidden: gpu.take(bytes).await?,
            probs: match probs {
                Some(probs) => Some(gpu.take(probs.values().len() as u64 * 4).await?),
                None => None,
            },
            dhidden: if op.has_hidden_gradient() { Some(gpu.take(bytes).await?) } else { None },
            dloss: match upstream {
                Upstream::Scalar(_) => None,
                Upstream::Each(dloss) => Some(gpu.take(dloss.len() as u64 * 4).await?),
            },
        })
    }

    /// Some rows of so many.
    fn view<'b>(&self, of: &'b Pooled<'_>, rows: u64, width: u64) -> MatrixBuffer<'b> {
        MatrixBuffer::new(&of.buffer, rows, width).with_room(self.room)
    }

    fn upstream(&self, upstream: Upstream<'_>) -> UpstreamBuffer<'_> {
        let dloss = self.dloss.as_ref();
        let rows = dloss.map(|dloss| VectorBuffer::new(&dloss.buffer).with_room(self.room));
        UpstreamBuffer::of_rows(upstream, rows)
    }

    /// Has a call use these instead of smaller ones.
    fn replace_in(&self, call: &mut WindowedCall) {
        let parts = [
            (Role::Hidden, Some(&self.hidden)),
            (Role::Slot(Slot::Second), self.probs.as_ref()),
            (Role::Dhidden, self.dhidden.as_ref()),
            (Role::Slot(Slot::Dloss), self.dloss.as_ref()),
        ];
        for (role, pooled) in parts {
            if let Some(pooled) = pooled {
                call.replace(role, pooled.buffer.clone());
            }
        }
    }

    async fn upload(
        &self,
        gpu: &OwnedGpu,
        Window { hidden, probs, upstream }: Window<'_>,
        stored: Dtype,
    ) -> Result<()> {
        gpu.upload_to(&self.hidden.buffer, hidden.values(), stored).await?;
        if let (Some(buffer), Some(probs)) = (&self.probs, probs) {
            gpu.upload_to(&buffer.buffer, probs.values(), Dtype::F32).await?;
        }
        match (&self.dloss, upstream) {
            (Some(buffer), Upstream::Each(dloss)) => {
                gpu.upload_to(&buffer.buffer, dloss, Dtype::F32).await
            }
            _ => Ok(()),
        }
    }
}

fn without_targets() -> Error {
    Error::Gpu { message: "a linear layer's window has no targets".to_owned() }
}
