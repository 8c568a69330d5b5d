//! The row transforms, bound to buffers.

use super::{Builder, Description, Record, mask_buffer_option};
use crate::error::Result;
use crate::gpu::buffers::{MaskBuffer, MatrixBuffer, OutputBuffer, VectorBuffer};
use crate::gpu::ops::RowOp;
use crate::op::{
    Entropy, EntropyBackward, LogSoftmax, LogSoftmaxBackward, LogSumExp, LogSumExpBackward,
    Softmax, SoftmaxBackward, Surprisal,
};

/// What [`Softmax`] and [`LogSoftmax`] bind on a GPU.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct TransformBuffers<'a> {
    logits: MatrixBuffer<'a>,
    output: OutputBuffer<'a>,
    mask: Option<MaskBuffer<'a>>,
}

impl<'a> TransformBuffers<'a> {
    /// `[rows, classes]`, and where the result goes.
    pub fn new(logits: MatrixBuffer<'a>, output: OutputBuffer<'a>) -> Self {
        Self { logits, output, mask: None }
    }
}

mask_buffer_option!(TransformBuffers, "rows");

impl Record for Softmax {
    type Buffers<'a> = TransformBuffers<'a>;

    fn describe<'a>(&self, buffers: Self::Buffers<'a>) -> Result<Description<'a>> {
        Builder::new(RowOp::Softmax, "softmax", "logits", buffers.logits)?
            .row_mask(buffers.mask)?
            .output("probs", buffers.output)?
            .finish()
    }
}

impl Record for LogSoftmax {
    type Buffers<'a> = TransformBuffers<'a>;

    fn describe<'a>(&self, buffers: Self::Buffers<'a>) -> Result<Description<'a>> {
        Builder::new(RowOp::LogSoftmax, "log-softmax", "logits", buffers.logits)?
            .row_mask(buffers.mask)?
            .output("log_probs", buffers.output)?
            .finish()
    }
}

impl Record for Surprisal {
    type Buffers<'a> = TransformBuffers<'a>;

    fn describe<'a>(&self, buffers: Self::Buffers<'a>) -> Result<Description<'a>> {
        let mut builder = Builder::new(RowOp::LogSoftmax, "surprisal", "logits", buffers.logits)?;
        builder.problem.loss.unit = -self.unit().per_nat() as f32;
        builder.row_mask(buffers.mask)?.output("surprisal", buffers.output)?.finish()
    }
}

/// What [`LogSumExp`] and [`Entropy`] bind on a GPU. The log-sum-exp is the second column of
/// [`Call::stats`](crate::gpu::Call::stats), the entropy the first.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct RowResultBuffers<'a> {
    logits: MatrixBuffer<'a>,
    mask: Option<MaskBuffer<'a>>,
}

impl<'a> RowResultBuffers<'a> {
    /// `[rows, classes]`.
    pub fn new(logits: MatrixBuffer<'a>) -> Self {
        Self { logits, mask: None }
    }
}

mask_buffer_option!(RowResultBuffers, "rows");

impl Record for LogSumExp {
    type Buffers<'a> = RowResultBuffers<'a>;

    fn describe<'a>(&self, buffers: Self::Buffers<'a>) -> Result<Description<'a>> {
        Builder::new(RowOp::LogSumExp, "logsumexp", "logits", buffers.logits)?
            .row_mask(buffers.mask)?
            .finish()
    }
}

/// What [`SoftmaxBackward`] and [`LogSoftmaxBackward`] bind on a GPU.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct BackwardBuffers<'a> {
    forward: MatrixBuffer<'a>,
    upstream: MatrixBuffer<'a>,
    dlogits: OutputBuffer<'a>,
    mask: Option<MaskBuffer<'a>>,
}

impl<'a> BackwardBuffers<'a> {
    /// What the forward returned, `[rows, classes]`; the gradient with respect to it, of the same shape;
    /// and where the gradient with respect to the logits goes, in place meaning over `forward`.
    pub fn new(
        forward: MatrixBuffer<'a>,
        upstream: MatrixBuffer<'a>,
        dlogits: OutputBuffer<'a>,
    ) -> Self {
        Self { forward, upstream, dlogits, mask: None }
    }
}

mask_buffer_option!(BackwardBuffers, "rows");

impl Record for SoftmaxBackward {
    type Buffers<'a> = BackwardBuffers<'a>;

    fn describe<'a>(&self, buffers: Self::Buffers<'a>) -> Result<Description<'a>> {
        Builder::new(RowOp::SoftmaxBackward, "softmax-backward", "probs", buffers.forward)?
            .row_mask(buffers.mask)?
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
            .row_mask(buffers.mask)?
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
        builder.row_mask(buffers.mask)?.finish()
    }
}

/// What [`LogSumExpBackward`] and [`EntropyBackward`] bind on a GPU.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct RowBackwardBuffers<'a> {
    logits: MatrixBuffer<'a>,
    upstream: VectorBuffer<'a>,
    dlogits: OutputBuffer<'a>,
    mask: Option<MaskBuffer<'a>>,
}

impl<'a> RowBackwardBuffers<'a> {
    /// `[rows, classes]`; the gradient with respect to the rows' results, `[rows]` of f32; and where the
    /// gradient with respect to the logits goes.
    pub fn new(
        logits: MatrixBuffer<'a>,
        upstream: VectorBuffer<'a>,
        dlogits: OutputBuffer<'a>,
    ) -> Self {
        Self { logits, upstream, dlogits, mask: None }
    }
}

mask_buffer_option!(RowBackwardBuffers, "rows");

impl Record for LogSumExpBackward {
    type Buffers<'a> = RowBackwardBuffers<'a>;

    fn describe<'a>(&self, buffers: Self::Buffers<'a>) -> Result<Description<'a>> {
        Builder::new(RowOp::LogSumExp, "logsumexp-backward", "logits", buffers.logits)?
            .row_mask(buffers.mask)?
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
            .row_mask(buffers.mask)?
            .row_upstream("dentropy", buffers.upstream)?
            .output("dlogits", buffers.dlogits)?
            .finish()
    }
}
