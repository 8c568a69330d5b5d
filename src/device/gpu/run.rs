//! Each operation on buffers of the device's own: upload, compute, download.

use super::{OwnedGpu, Pooled, matrix};
use crate::clock::Clock;
use crate::cpu::{InstructionSet, Labelled, LossSum, labelled};
use crate::device::stream::Counts;
use crate::device::timings::Timings;
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::gpu::{
    BackwardBuffers, Call, CrossEntropyBuffers, DivergenceBuffers, ElementwiseBuffers, MaskBuffer,
    MatrixBuffer, OutputBuffer, Record, RowBackwardBuffers, RowResultBuffers, TargetsBuffer,
    TransformBuffers, UpstreamBuffer, VectorBuffer,
};
use crate::matrix::Array;
use crate::op::{
    CrossEntropy, CrossEntropyInput, CrossEntropyOutput, DivergenceInput, DivergenceOp,
    DivergenceOutput, ElementwiseInput, ElementwiseOp, ElementwiseOutput, Entropy, EntropyBackward,
    Focal, LogSoftmax, LogSoftmaxBackward, LogSumExp, LogSumExpBackward, Loss, Reduction, Softmax,
    SoftmaxBackward, Surprisal, Targets, Transform, TransformInput, Unit, Upstream, folded, kept,
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
        let (kept_rows, total_weight) = op.totals(&op.rows(input.targets, input.mask));
        let divisor = op.normalizer().unwrap_or(total_weight);
        let counts = Counts { kept_rows, total_weight, divisor };
        self.targeted(op, input, asked, counts).await
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
        let kept = op.rows(input.targets, input.mask).kept();
        let total_weight = kept as f64;
        let divisor = op.normalizer().unwrap_or(total_weight);
        let counts = Counts { kept_rows: kept as u64, total_weight, divisor };
        self.targeted(op, input, asked, counts).await
    }

    /// Cross-entropy and focal loss.
    async fn targeted<O>(
        &self,
        op: &O,
        input: &CrossEntropyInput<'_>,
        asked: Asked,
        counts: Counts,
    ) -> Result<(CrossEntropyOutput, Timings)>
    where
        O: Labelled + for<'b> Record<Buffers<'b> = CrossEntropyBuffers<'b>>,
    {
        op.check(input)?;
        let Counts { kept_rows, total_weight, divisor } = counts;
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
        let mask = self.upload_mask(input.mask).await?;
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
        if let Some(mask) = &mask {
            buffers = buffers.with_mask(MaskBuffer::new(&mask.buffer));
        }
        if let Some(dtargets) = &dtargets {
            buffers = buffers.with_dtargets(matrix(&input.logits, dtargets, stored));
        }
        let call = self.compute(op, buffers, &mut timings).await?;

        let clock = Clock::start();
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
        let loss = crate::cpu::reduce(loss, asked.reduction, divisor);
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
        let mask = self.upload_mask(input.mask).await?;
        timings.upload += clock.elapsed();

        let (teacher, on_device) =
            (matrix(&input.teacher, &teacher, stored), matrix(&input.student, &student, stored));
        let mut buffers = DivergenceBuffers::new(teacher, on_device)
            .with_upstream(upstream_buffer(input.upstream, dloss.as_ref()));
        if spec.common.gradient {
            buffers = buffers.with_dstudent(OutputBuffer::InPlace);
        }
        if let Some(mask) = &mask {
            buffers = buffers.with_mask(MaskBuffer::new(&mask.buffer));
        }
        let call = self.compute(op, buffers, &mut timings).await?;

        let clock = Clock::start();
        let (losses, lse) = read_rows(&call).await?;
        let divisor = spec.common.divisor(kept(input.mask, input.student.rows()) as f64);
        let loss = crate::cpu::reduce(losses, spec.common.reduction, divisor);
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
        let counted = spec.mask(input);
        let mask = self.upload_mask(counted.as_deref()).await?;
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
        let kept = kept(counted.as_deref(), elements as usize) as u64;
        if let Some(mask) = &mask {
            buffers = buffers.with_counted_mask(MaskBuffer::new(&mask.buffer), kept);
        }
        if let Some(losses) = &losses {
            let losses = OutputBuffer::Separate(view(losses, shape, Dtype::F32));
            buffers = buffers.with_losses(losses);
        }
        if spec.common.gradient {
            buffers = buffers.with_dinput(OutputBuffer::InPlace);
        }
        let call = self.compute(op, buffers, &mut timings).await?;

        let clock = Clock::start();
        let loss = if let Some(losses) = &losses {
            Loss::Each(self.download(losses, Dtype::F32, Dtype::F32).await?)
        } else {
            // Of each row the sum, and what rounding took from it.
            let mut sum = LossSum::default();
            sum.push(bytemuck::cast_slice(&call.read_stats().await?));
            let divisor = spec.common.divisor(kept as f64);
            Loss::Reduced(sum.reduced(spec.common.reduction, divisor))
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
        let mask = self.upload_mask(input.mask).await?;
        timings.upload += clock.elapsed();

        let on_device = OnDevice {
            input: matrix(&input.input, &uploaded, stored),
            second: second.as_ref().map(|(shape, buffer)| matrix(shape, buffer, stored)),
            drows: drows.as_ref().map(|drows| VectorBuffer::new(&drows.buffer)),
            mask: mask.as_ref().map(|mask| MaskBuffer::new(&mask.buffer)),
        };
        let call = self.transformed(op, input.unit, on_device, &mut timings).await?;

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

    async fn transformed(
        &self,
        op: Transform,
        unit: Unit,
        on_device: OnDevice<'_>,
        timings: &mut Timings,
    ) -> Result<Call> {
        match op {
            Transform::Softmax => self.compute(&Softmax, on_device.matrix(), timings).await,
            Transform::LogSoftmax => self.compute(&LogSoftmax, on_device.matrix(), timings).await,
            Transform::Surprisal => {
                let op = Surprisal::new().with_unit(unit);
                self.compute(&op, on_device.matrix(), timings).await
            }
            Transform::LogSumExp => self.compute(&LogSumExp, on_device.rows(), timings).await,
            Transform::Entropy => {
                let op = Entropy::new().with_unit(unit);
                self.compute(&op, on_device.rows(), timings).await
            }
            Transform::SoftmaxBackward => {
                self.compute(&SoftmaxBackward, on_device.backward()?, timings).await
            }
            Transform::LogSoftmaxBackward => {
                self.compute(&LogSoftmaxBackward, on_device.backward()?, timings).await
            }
            Transform::LogSumExpBackward => {
                self.compute(&LogSumExpBackward, on_device.row_backward()?, timings).await
            }
            Transform::EntropyBackward => {
                let op = EntropyBackward::new().with_unit(unit);
                self.compute(&op, on_device.row_backward()?, timings).await
            }
        }
    }
}

/// What a transform reads, on the device; its matrix is written over.
struct OnDevice<'b> {
    input: MatrixBuffer<'b>,
    second: Option<MatrixBuffer<'b>>,
    drows: Option<VectorBuffer<'b>>,
    mask: Option<MaskBuffer<'b>>,
}

impl<'b> OnDevice<'b> {
    fn matrix(&self) -> TransformBuffers<'b> {
        TransformBuffers::new(self.input, OutputBuffer::InPlace).with_mask(self.mask)
    }

    fn rows(&self) -> RowResultBuffers<'b> {
        RowResultBuffers::new(self.input).with_mask(self.mask)
    }

    fn backward(&self) -> Result<BackwardBuffers<'b>> {
        let upstream = self.second.ok_or_else(without_upstream)?;
        let buffers = BackwardBuffers::new(self.input, upstream, OutputBuffer::InPlace);
        Ok(buffers.with_mask(self.mask))
    }

    fn row_backward(&self) -> Result<RowBackwardBuffers<'b>> {
        let upstream = self.drows.ok_or_else(without_upstream)?;
        let buffers = RowBackwardBuffers::new(self.input, upstream, OutputBuffer::InPlace);
        Ok(buffers.with_mask(self.mask))
    }
}

fn without_upstream() -> Error {
    let reason = "is missing".to_owned();
    Error::InvalidInput { what: "upstream gradient", reason }
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
