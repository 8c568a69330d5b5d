//! Cross-entropy of a linear layer on a GPU.

use super::run::{read_rows, upstream_buffer};
use super::{OwnedGpu, Pooled, matrix};
use crate::clock::Clock;
use crate::cpu::InstructionSet;
use crate::device::timings::Timings;
use crate::dtype::Dtype;
use crate::error::Result;
use crate::gpu::{LinearCrossEntropyBuffers, TargetsBuffer, VectorBuffer};
use crate::matrix::{Array, Matrix, Values};
use crate::op::{
    KeptRows, LinearCrossEntropy, LinearCrossEntropyInput, LinearCrossEntropyOutput, Loss,
    Reduction, Targets, Upstream, upstream_of_rows,
};

impl OwnedGpu {
    /// Ignored rows stay behind: what comes to the device is kept.
    pub(crate) async fn linear_cross_entropy(
        &self,
        op: &LinearCrossEntropy,
        input: &LinearCrossEntropyInput<'_>,
    ) -> Result<(LinearCrossEntropyOutput, Timings)> {
        op.validate(input)?;
        let kept = KeptRows::new(op.loss(), &input.targets);
        if kept.are_all() {
            return self.linear_kept(op, input).await;
        }
        let (hidden, width) = (kept.gather(&input.hidden), input.hidden.classes());
        let targets: Vec<i64> = kept.rows().iter().map(|&row| input.targets.index(row)).collect();
        let dloss = upstream_of_rows(input.upstream, kept.rows());
        let of_kept = LinearCrossEntropyInput {
            hidden: Matrix::new(hidden.values(), kept.len(), width)?,
            targets: (&targets).into(),
            upstream: dloss.as_ref().map_or(input.upstream, |dloss| Upstream::Each(dloss.into())),
            ..*input
        };
        let (mut output, timings) = self.linear_kept(op, &of_kept).await?;
        output.lse = kept.spread_array(output.lse, 1);
        output.dhidden = output.dhidden.map(|dhidden| kept.spread_array(dhidden, width));
        if let Loss::Each(losses) = output.loss {
            output.loss = Loss::Each(kept.spread_array(losses, 1));
        }
        if let Some(metrics) = &mut output.metrics {
            metrics.argmax = kept.spread(std::mem::take(&mut metrics.argmax), -1);
        }
        Ok((output, timings))
    }

    /// A batch without ignored rows.
    async fn linear_kept(
        &self,
        op: &LinearCrossEntropy,
        input: &LinearCrossEntropyInput<'_>,
    ) -> Result<(LinearCrossEntropyOutput, Timings)> {
        let mut timings = Timings::default();
        if input.hidden.rows() == 0 {
            let set = InstructionSet::best();
            return Ok((crate::cpu::linear_cross_entropy(set, op, input)?, timings));
        }
        let clock = Clock::start();
        let stored = self.storage([input.hidden.dtype(), input.weight.dtype()]);
        let hidden = self.upload(input.hidden.values(), stored).await?;
        let weight = self.upload(input.weight.values(), stored).await?;
        let bias = match input.bias {
            Some(bias) => Some(self.upload(bias, Dtype::F32).await?),
            None => None,
        };
        let targets = self.upload_targets(input.targets, stored).await?;
        let dloss = match input.upstream {
            Upstream::Scalar(_) => None,
            Upstream::Each(dloss) => Some(self.upload(dloss, Dtype::F32).await?),
        };
        let gradients = Gradients::new(self, op, input).await?;
        timings.upload += clock.elapsed();

        let vector = VectorBuffer::new(&targets.buffer);
        let on_device = LinearCrossEntropyBuffers::new(
            matrix(&input.hidden, &hidden, stored),
            matrix(&input.weight, &weight, stored),
            match input.targets {
                Targets::I32(_) => TargetsBuffer::I32(vector),
                _ => TargetsBuffer::I64(vector),
            },
        );
        let mut buffers = on_device.with_upstream(upstream_buffer(input.upstream, dloss.as_ref()));
        if let Some(bias) = &bias {
            buffers = buffers.with_bias(VectorBuffer::new(&bias.buffer));
        }
        let call = self.compute(op, gradients.bind(input, buffers), &mut timings).await?;

        let clock = Clock::start();
        let summary = call.read_summary().await?;
        let (loss, lse) = read_rows(&call).await?;
        let metrics = if op.loss().has_metrics() { Some(call.read_metrics().await?) } else { None };
        let output = LinearCrossEntropyOutput {
            loss: match op.loss().reduction() {
                Reduction::None => Loss::Each(Array::F32(loss)),
                _ => Loss::Reduced(summary.loss.into()),
            },
            lse: Array::F32(lse),
            dhidden: self.gradient(gradients.hidden.as_ref(), input.hidden.dtype()).await?,
            dweight: self.gradient(gradients.weight.as_ref(), input.weight.dtype()).await?,
            dbias: match input.bias {
                Some(bias) => self.gradient(gradients.bias.as_ref(), bias.dtype()).await?,
                None => None,
            },
            metrics,
            kept_rows: summary.kept_rows.into(),
            total_weight: summary.total_weight.into(),
        };
        timings.download += clock.elapsed();
        Ok((output, timings))
    }

    /// A gradient, rounded once.
    async fn gradient(&self, of: Option<&Pooled<'_>>, dtype: Dtype) -> Result<Option<Array>> {
        match of {
            Some(gradient) => Ok(Some(self.download(gradient, Dtype::F32, dtype).await?)),
            None => Ok(None),
        }
    }
}

/// The gradients on the device, in f32.
struct Gradients<'a> {
    hidden: Option<Pooled<'a>>,
    weight: Option<Pooled<'a>>,
    bias: Option<Pooled<'a>>,
}

impl<'a> Gradients<'a> {
    async fn new(
        gpu: &'a OwnedGpu,
        op: &LinearCrossEntropy,
        input: &LinearCrossEntropyInput<'_>,
    ) -> Result<Self> {
        let mut gradients = Self { hidden: None, weight: None, bias: None };
        let bytes = |values: Values<'_>| values.len() as u64 * 4;
        if op.has_hidden_gradient() {
            gradients.hidden = Some(gpu.take(bytes(input.hidden.values())).await?);
        }
        if op.has_weight_gradient() {
            gradients.weight = Some(gpu.take(bytes(input.weight.values())).await?);
        }
        if let (true, Some(bias)) = (op.has_bias_gradient(), input.bias) {
            gradients.bias = Some(gpu.take(bytes(bias)).await?);
        }
        Ok(gradients)
    }

    fn bind<'b>(
        &'b self,
        input: &LinearCrossEntropyInput<'_>,
        mut buffers: LinearCrossEntropyBuffers<'b>,
    ) -> LinearCrossEntropyBuffers<'b> {
        if let Some(hidden) = &self.hidden {
            buffers = buffers.with_dhidden(matrix(&input.hidden, hidden, Dtype::F32));
        }
        if let Some(weight) = &self.weight {
            buffers = buffers.with_dweight(matrix(&input.weight, weight, Dtype::F32));
        }
        if let Some(bias) = &self.bias {
            buffers = buffers.with_dbias(VectorBuffer::new(&bias.buffer));
        }
        buffers
    }
}
