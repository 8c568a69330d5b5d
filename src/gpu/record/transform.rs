//! The row transforms, bound to buffers.

use super::{Builder, Description, Record};
use crate::error::Result;
use crate::gpu::buffers::{MatrixBuffer, OutputBuffer, VectorBuffer};
use crate::gpu::ops::RowOp;
use crate::op::{
    Entropy, EntropyBackward, LogSoftmax, LogSoftmaxBackward, LogSumExp, LogSumExpBackward,
    Softmax, SoftmaxBackward, Surprisal,
};

/// What [`Softmax`] and [`LogSoftmax`] bind on a GPU.
#[derive(Debug, Clone, Copy)]
pub struct TransformBuffers<'a> {
    /// `[rows, classes]`.
    pub logits: MatrixBuffer<'a>,
    /// Where the result goes.
    pub output: OutputBuffer<'a>,
}

impl Record for Softmax {
    type Buffers<'a> = TransformBuffers<'a>;

    fn describe<'a>(&self, buffers: Self::Buffers<'a>) -> Result<Description<'a>> {
        Builder::new(RowOp::Softmax, "softmax", "logits", buffers.logits)?
            .output("probs", buffers.output)?
            .finish()
    }
}

impl Record for LogSoftmax {
    type Buffers<'a> = TransformBuffers<'a>;

    fn describe<'a>(&self, buffers: Self::Buffers<'a>) -> Result<Description<'a>> {
        Builder::new(RowOp::LogSoftmax, "log-softmax", "logits", buffers.logits)?
            .output("log_probs", buffers.output)?
            .finish()
    }
}

impl Record for Surprisal {
    type Buffers<'a> = TransformBuffers<'a>;

    fn describe<'a>(&self, buffers: Self::Buffers<'a>) -> Result<Description<'a>> {
        let mut builder = Builder::new(RowOp::LogSoftmax, "surprisal", "logits", buffers.logits)?;
        builder.problem.loss.unit = -self.unit().per_nat() as f32;
        builder.output("surprisal", buffers.output)?.finish()
    }
}

/// What [`LogSumExp`] and [`Entropy`] bind on a GPU. The log-sum-exp is the second column of
/// [`Call::stats`](crate::gpu::Call::stats), the entropy the first.
#[derive(Debug, Clone, Copy)]
pub struct RowResultBuffers<'a> {
    /// `[rows, classes]`.
    pub logits: MatrixBuffer<'a>,
}

impl Record for LogSumExp {
    type Buffers<'a> = RowResultBuffers<'a>;

    fn describe<'a>(&self, buffers: Self::Buffers<'a>) -> Result<Description<'a>> {
        Builder::new(RowOp::LogSumExp, "logsumexp", "logits", buffers.logits)?.finish()
    }
}

/// What [`SoftmaxBackward`] and [`LogSoftmaxBackward`] bind on a GPU.
#[derive(Debug, Clone, Copy)]
pub struct BackwardBuffers<'a> {
    /// What the forward returned, `[rows, classes]`.
    pub forward: MatrixBuffer<'a>,
    /// The gradient with respect to it, of the same shape.
    pub upstream: MatrixBuffer<'a>,
    /// Where the gradient with respect to the logits goes; in place means over `forward`.
    pub dlogits: OutputBuffer<'a>,
}

impl Record for SoftmaxBackward {
    type Buffers<'a> = BackwardBuffers<'a>;

    fn describe<'a>(&self, buffers: Self::Buffers<'a>) -> Result<Description<'a>> {
        Builder::new(RowOp::SoftmaxBackward, "softmax-backward", "probs", buffers.forward)?
            .second("dprobs", buffers.upstream)?
            .output("dlogits", buffers.dlogits)?
            .finish()
    }
}

impl Record for LogSoftmaxBackward {
    type Buffers<'a> = BackwardBuffers<'a>;

    fn describe<'a>(&self, buffers: Self::Buffers<'a>) -> Result<Description<'a>> {
        let name = "log-softmax-backward";
        Builder::new(RowOp::LogSoftmaxBackward, name, "log_probs", buffers.forward)?
            .second("dlog_probs", buffers.upstream)?
            .output("dlogits", buffers.dlogits)?
            .finish()
    }
}

impl Record for Entropy {
    type Buffers<'a> = RowResultBuffers<'a>;

    fn describe<'a>(&self, buffers: Self::Buffers<'a>) -> Result<Description<'a>> {
        let mut builder = Builder::new(RowOp::Entropy, "entropy", "logits", buffers.logits)?;
        builder.problem.loss.unit = self.unit().per_nat() as f32;
        builder.finish()
    }
}

/// What [`LogSumExpBackward`] and [`EntropyBackward`] bind on a GPU.
#[derive(Debug, Clone, Copy)]
pub struct RowBackwardBuffers<'a> {
    /// `[rows, classes]`.
    pub logits: MatrixBuffer<'a>,
    /// The gradient with respect to the rows' results, `[rows]` of f32.
    pub upstream: VectorBuffer<'a>,
    /// Where the gradient with respect to the logits goes.
    pub dlogits: OutputBuffer<'a>,
}

impl Record for LogSumExpBackward {
    type Buffers<'a> = RowBackwardBuffers<'a>;

    fn describe<'a>(&self, buffers: Self::Buffers<'a>) -> Result<Description<'a>> {
        Builder::new(RowOp::LogSumExp, "logsumexp-backward", "logits", buffers.logits)?
            .row_upstream("dlse", buffers.upstream)?
            .output("dlogits", buffers.dlogits)?
            .finish()
    }
}

impl Record for EntropyBackward {
    type Buffers<'a> = RowBackwardBuffers<'a>;

    fn describe<'a>(&self, buffers: Self::Buffers<'a>) -> Result<Description<'a>> {
        let name = "entropy-backward";
        let mut builder = Builder::new(RowOp::Entropy, name, "logits", buffers.logits)?;
        builder.problem.loss.unit = self.unit().per_nat() as f32;
        builder
            .row_upstream("dentropy", buffers.upstream)?
            .output("dlogits", buffers.dlogits)?
            .finish()
    }
}
