//! Each operation on buffers of the device's own: upload, compute, download.

use super::{OwnedGpu, Pooled, matrix};
use crate::clock::Clock;
use crate::cpu::{InstructionSet, Labelled, labelled};
use crate::device::timings::Timings;
use crate::dtype::Dtype;
use crate::error::Result;
use crate::gpu::{
    BackwardBuffers, Call, CrossEntropyBuffers, DivergenceBuffers, ElementwiseBuffers,
    MatrixBuffer, OutputBuffer, Record, RowBackwardBuffers, RowResultBuffers, TargetsBuffer,
    TransformBuffers, UpstreamBuffer, VectorBuffer,
};
use crate::matrix::Array;
use crate::op::{
    CrossEntropy, CrossEntropyInput, CrossEntropyOutput, DivergenceInput, DivergenceOp,
    DivergenceOutput, ElementwiseInput, ElementwiseOp, ElementwiseOutput, Entropy, EntropyBackward,
    Focal, LogSoftmax, LogSoftmaxBackward, LogSumExp, LogSumExpBackward, Loss, Reduction, Softmax,
    SoftmaxBackward, Surprisal, Targets, Transform, TransformInput, Upstream, folded,
};

/// The upstream gradient on the device; `dloss` holds what was uploaded of it.
pub(super) fn upstream_buffer<'a>(
    upstream: Upstream<'_>,
    dloss: Option<&'a Pooled<'_>>,
) -> UpstreamBuffer<'a> {
    match (dloss, upstream) {
        (Some(dloss), _) => UpstreamBuffer::Rows(VectorBuffer::new(&dloss.buffer)),
        (None, Upstream::Scalar(dloss)) => UpstreamBuffer::Scalar(dloss as f32),
        (None, Upstream::Each(_)) => UpstreamBuffer::default(),
    }
}

fn view<'a>(
    buffer: &'a Pooled<'_>,
    (rows, columns): (u64, u64),
    stored: Dtype,
) -> MatrixBuffer<'a> {
    MatrixBuffer::new(&buffer.buffer, rows, columns).with_dtype(stored)
}

impl OwnedGpu {
    pub(crate) async fn cross_entropy(
        &self,
        op: &CrossEntropy,
        input: &CrossEntropyInput<'_>,
    ) -> Result<(CrossEntropyOutput, Timings)> {
        let asked = Asked {
            reduction: op.reduction(),
            gradient: op.has_gradient(),
            target_gradient: op.has_target_gradient(),
            metrics: op.has_metrics(),
        };
        let (mut output, timings) = self.targeted(op, input, asked).await?;
        if input.targets.probs().is_some() {
            (output.kept_rows, output.total_weight) = op.totals(&input.targets);
        }
        Ok((output, timings))
    }

    pub(crate) async fn focal(
        &self,
        op: &Focal,
        input: &CrossEntropyInput<'_>,
    ) -> Result<(CrossEntropyOutput, Timings)> {
        let asked = Asked {
            reduction: op.reduction(),
            gradient: op.has_gradient(),
            target_gradient: false,
            metrics: false,
        };
        self.targeted(op, input, asked).await
    }

    /// Cross-entropy and focal loss.
    async fn targeted<O>(
        &self,
        op: &O,
        input: &CrossEntropyInput<'_>,
        asked: Asked,
    ) -> Result<(CrossEntropyOutput, Timings)>
    where
        O: Labelled + for<'b> Record<Buffers<'b> = CrossEntropyBuffers<'b>>,
    {
        op.check(input)?;
        if input.logits.rows() == 0 {
            return Ok((labelled(InstructionSet::best(), op, input)?, Timings::default()));
        }
        let mut timings = Timings::default();
        let clock = Clock::start();
        let probs = input.targets.probs().map(|probs| probs.dtype());
        let stored = self.storage([input.logits.dtype()].into_iter().chain(probs));
        let logits = self.upload(input.logits.values(), stored).await?;
        let targets = self.upload_targets(input.targets, stored).await?;
        let dloss = match input.upstream {
            Upstream::Scalar(_) => None,
            Upstream::Each(dloss) => Some(self.upload(dloss, Dtype::F32).await?),
        };
        let dtargets =
            if asked.target_gradient { Some(self.take(logits.bytes).await?) } else { None };
        timings.upload += clock.elapsed();

        let vector = VectorBuffer::new(&targets.buffer);
        let target_buffer = match input.targets {
            Targets::I32(_) => TargetsBuffer::I32(vector),
            Targets::I64(_) => TargetsBuffer::I64(vector),
            Targets::Probs(probs) => TargetsBuffer::Probs(matrix(&probs, &targets, stored)),
        };
        let on_device = matrix(&input.logits, &logits, stored);
        let mut buffers = CrossEntropyBuffers::new(on_device, target_buffer)
            .with_upstream(upstream_buffer(input.upstream, dloss.as_ref()));
        if asked.gradient {
            // The uploaded logits are ours: the gradient takes their place.
            buffers = buffers.with_dlogits(OutputBuffer::InPlace);
        }
        if let Some(dtargets) = &dtargets {
            buffers = buffers.with_dtargets(matrix(&input.logits, dtargets, stored));
        }
        let call = self.compute(op, buffers, &mut timings).await?;

        let clock = Clock::start();
        let summary = match call.summary() {
            Some(_) => Some(call.read_summary().await?),
            None => None,
        };
        let (loss, lse) = read_rows(&call).await?;
        let dlogits = if asked.gradient {
            Some(self.download(&logits, stored, input.logits.dtype()).await?)
        } else {
            None
        };
        let dtargets = match (&dtargets, input.targets) {
            (Some(dtargets), Targets::Probs(probs)) => {
                Some(self.download(dtargets, stored, probs.dtype()).await?)
            }
            _ => None,
        };
        let metrics = if asked.metrics { Some(call.read_metrics().await?) } else { None };
        timings.download += clock.elapsed();
        let loss = match (asked.reduction, &summary) {
            (Reduction::None, _) | (_, None) => Loss::Each(Array::F32(loss)),
            (_, Some(summary)) => Loss::Reduced(summary.loss.into()),
        };
        let (kept_rows, total_weight) = summary
            .map_or((0, 0.0), |summary| (summary.kept_rows.into(), summary.total_weight.into()));
        let lse = Array::F32(lse);
        let output =
            CrossEntropyOutput { loss, lse, dlogits, dtargets, metrics, kept_rows, total_weight };
        Ok((output, timings))
    }

    pub(crate) async fn divergence<O>(
        &self,
        op: &O,
        input: &DivergenceInput<'_>,
    ) -> Result<(DivergenceOutput, Timings)>
    where
        O: DivergenceOp + for<'b> Record<Buffers<'b> = DivergenceBuffers<'b>>,
    {
        let (mut timings, spec) = (Timings::default(), op.spec());
        spec.validate(input)?;
        if input.student.rows() == 0 {
            return Ok((crate::cpu::divergence(InstructionSet::best(), &spec, input)?, timings));
        }
        let clock = Clock::start();
        let stored = self.storage([input.student.dtype(), input.teacher.dtype()]);
        let teacher = self.upload(input.teacher.values(), stored).await?;
        let student = self.upload(input.student.values(), stored).await?;
        let dloss = match input.upstream {
            Upstream::Scalar(_) => None,
            Upstream::Each(dloss) => Some(self.upload(dloss, Dtype::F32).await?),
        };
        timings.upload += clock.elapsed();

        let (teacher, on_device) =
            (matrix(&input.teacher, &teacher, stored), matrix(&input.student, &student, stored));
        let mut buffers = DivergenceBuffers::new(teacher, on_device)
            .with_upstream(upstream_buffer(input.upstream, dloss.as_ref()));
        if spec.common.gradient {
            buffers = buffers.with_dstudent(OutputBuffer::InPlace);
        }
        let call = self.compute(op, buffers, &mut timings).await?;

        let clock = Clock::start();
        let (losses, lse) = read_rows(&call).await?;
        let loss = reported(&call, spec.common.reduction, losses).await?;
        let dstudent = if spec.common.gradient {
            Some(self.download(&student, stored, input.student.dtype()).await?)
        } else {
            None
        };
        timings.download += clock.elapsed();
        Ok((DivergenceOutput { loss, lse: Array::F32(lse), dstudent }, timings))
    }

    pub(crate) async fn elementwise<O>(
        &self,
        op: &O,
        input: &ElementwiseInput<'_>,
    ) -> Result<(ElementwiseOutput, Timings)>
    where
        O: ElementwiseOp + for<'b> Record<Buffers<'b> = ElementwiseBuffers<'b>>,
    {
        let (mut timings, spec) = (Timings::default(), op.spec()?);
        spec.validate(input)?;
        let elements = input.input.values().len() as u64;
        if elements == 0 {
            return Ok((crate::cpu::elementwise(InstructionSet::best(), &spec, input)?, timings));
        }
        let clock = Clock::start();
        let weights = input.weights.map(|weights| weights.dtype());
        let others = [input.targets.dtype()].into_iter().chain(weights);
        let stored = self.storage([input.input.dtype()].into_iter().chain(others));
        let values = self.upload(input.input.values(), stored).await?;
        let targets = self.upload(input.targets.values(), stored).await?;
        let weights = match input.weights {
            Some(weights) => Some(self.upload(weights.values(), stored).await?),
            None => None,
        };
        let dloss = match input.upstream {
            Upstream::Scalar(_) => None,
            Upstream::Each(dloss) => Some(self.upload(dloss, Dtype::F32).await?),
        };
        let each = spec.common.reduction == Reduction::None;
        let losses = if each { Some(self.take(elements * 4).await?) } else { None };
        timings.upload += clock.elapsed();

        let shape = if spec.has_columns() {
            (input.input.rows() as u64, input.input.classes() as u64)
        } else {
            folded(elements)
        };
        let mut buffers =
            ElementwiseBuffers::new(view(&values, shape, stored), view(&targets, shape, stored));
        if let Some(weights) = &weights {
            buffers = buffers.with_weights(view(weights, shape, stored));
        }
        buffers = buffers.with_upstream(match (&dloss, input.upstream) {
            (Some(dloss), _) => UpstreamBuffer::Elements(view(dloss, shape, Dtype::F32)),
            (None, upstream) => upstream_buffer(upstream, None),
        });
        if let Some(losses) = &losses {
            let losses = OutputBuffer::Separate(view(losses, shape, Dtype::F32));
            buffers = buffers.with_losses(losses);
        }
        if spec.common.gradient {
            buffers = buffers.with_dinput(OutputBuffer::InPlace);
        }
        let call = self.compute(op, buffers, &mut timings).await?;

        let clock = Clock::start();
        let loss = match &losses {
            Some(losses) => Loss::Each(self.download(losses, Dtype::F32, Dtype::F32).await?),
            None => Loss::Reduced(call.read_summary().await?.loss.into()),
        };
        let dinput = if spec.common.gradient {
            Some(self.download(&values, stored, input.input.dtype()).await?)
        } else {
            None
        };
        timings.download += clock.elapsed();
        Ok((ElementwiseOutput { loss, dinput }, timings))
    }

    pub(crate) async fn transform(
        &self,
        op: Transform,
        input: &TransformInput<'_>,
    ) -> Result<(Array, Timings)> {
        let mut timings = Timings::default();
        input.validate()?;
        if input.input.rows() == 0 {
            return Ok((crate::cpu::transform(InstructionSet::best(), op, input)?, timings));
        }
        let clock = Clock::start();
        let second = input.second.map(|second| second.dtype());
        let stored = self.storage([input.input.dtype()].into_iter().chain(second));
        let uploaded = self.upload(input.input.values(), stored).await?;
        let second = match input.second {
            Some(second) => Some((second, self.upload(second.values(), stored).await?)),
            None => None,
        };
        let drows = match input.drows {
            Some((_, drows)) => Some(self.upload(drows, Dtype::F32).await?),
            None => None,
        };
        timings.upload += clock.elapsed();

        let logits = matrix(&input.input, &uploaded, stored);
        let call = match (&second, &drows) {
            (Some((shape, buffer)), _) => {
                let upstream = matrix(shape, buffer, stored);
                self.matrix_backward(op, logits, upstream, &mut timings).await?
            }
            (None, Some(drows)) => {
                let upstream = VectorBuffer::new(&drows.buffer);
                let buffers =
                    RowBackwardBuffers { logits, upstream, dlogits: OutputBuffer::InPlace };
                if op == Transform::EntropyBackward {
                    let op = EntropyBackward::new().with_unit(input.unit);
                    self.compute(&op, buffers, &mut timings).await?
                } else {
                    self.compute(&LogSumExpBackward, buffers, &mut timings).await?
                }
            }
            (None, None) => self.forward(op, input, logits, &mut timings).await?,
        };

        let clock = Clock::start();
        let result = if op.reduces() {
            let (first, lse) = read_rows(&call).await?;
            Array::F32(if op == Transform::Entropy { first } else { lse })
        } else {
            self.download(&uploaded, stored, input.input.dtype()).await?
        };
        timings.download += clock.elapsed();
        Ok((result, timings))
    }

    async fn matrix_backward(
        &self,
        op: Transform,
        forward: MatrixBuffer<'_>,
        upstream: MatrixBuffer<'_>,
        timings: &mut Timings,
    ) -> Result<Call> {
        let buffers = BackwardBuffers { forward, upstream, dlogits: OutputBuffer::InPlace };
        if op == Transform::SoftmaxBackward {
            self.compute(&SoftmaxBackward, buffers, timings).await
        } else {
            self.compute(&LogSoftmaxBackward, buffers, timings).await
        }
    }

    async fn forward(
        &self,
        op: Transform,
        input: &TransformInput<'_>,
        logits: MatrixBuffer<'_>,
        timings: &mut Timings,
    ) -> Result<Call> {
        let results = RowResultBuffers { logits };
        let buffers = TransformBuffers { logits, output: OutputBuffer::InPlace };
        match op {
            Transform::LogSumExp => self.compute(&LogSumExp, results, timings).await,
            Transform::Entropy => {
                self.compute(&Entropy::new().with_unit(input.unit), results, timings).await
            }
            Transform::LogSoftmax => self.compute(&LogSoftmax, buffers, timings).await,
            Transform::Surprisal => {
                self.compute(&Surprisal::new().with_unit(input.unit), buffers, timings).await
            }
            _ => self.compute(&Softmax, buffers, timings).await,
        }
    }
}

/// What is to be computed besides the losses.
struct Asked {
    reduction: Reduction,
    gradient: bool,
    target_gradient: bool,
    metrics: bool,
}

/// The two columns of the rows' results.
pub(super) async fn read_rows(call: &Call) -> Result<(Vec<f32>, Vec<f32>)> {
    Ok(call.read_stats().await?.into_iter().map(|[first, second]| (first, second)).unzip())
}

/// The reduced loss, or that of each row.
async fn reported(call: &Call, reduction: Reduction, losses: Vec<f32>) -> Result<Loss> {
    match reduction {
        Reduction::None => Ok(Loss::Each(Array::F32(losses))),
        _ => Ok(Loss::Reduced(call.read_summary().await?.loss.into())),
    }
}
