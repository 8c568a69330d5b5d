//! From an operation and its buffers to a [`Call`].

use crate::error::{Error, Result};
use crate::gpu::buffers::{
    MatrixBuffer, OutputBuffer, TargetsBuffer, UpstreamBuffer, VectorBuffer,
};
use crate::gpu::call::{Call, Roles};
use crate::gpu::context::Gpu;
use crate::gpu::fragment::Slot;
use crate::gpu::kernel::{Chain, RowOp, Weighting};
use crate::gpu::plan::{Destination, LossNumbers, Problem, TargetRegion, UpstreamRegion};
use crate::op::{
    CrossEntropy, LogSoftmax, LogSoftmaxBackward, LogSumExp, LogSumExpBackward, Reduction, Softmax,
    SoftmaxBackward, sealed,
};

/// An operation that can be recorded into a command encoder, with the buffers that it needs.
///
/// The trait is sealed; the operations of this crate are its only implementations.
pub trait Record: sealed::Sealed {
    /// The buffers that it reads and writes.
    type Buffers<'a>;

    #[doc(hidden)]
    fn describe<'a>(&self, buffers: Self::Buffers<'a>) -> Result<Description<'a>>;
}

/// An operation with its buffers, in the form that all of them share.
#[doc(hidden)]
#[derive(Debug)]
pub struct Description<'a> {
    pub(crate) name: &'static str,
    pub(crate) problem: Problem,
    pub(crate) roles: Roles<'a>,
    /// The weight of each class, where there are any.
    pub(crate) weights: Option<Vec<f32>>,
}

impl Gpu {
    /// Binds an operation to buffers: validates, plans, compiles what is not compiled yet, and
    /// allocates what the operation needs besides the caller's buffers.
    ///
    /// # Errors
    /// [`Error::InvalidBuffer`] if a buffer lacks bytes or the usage `STORAGE`, or is both read and
    /// written; [`Error::ShapeMismatch`]; [`Error::TooLarge`] if a row does not fit a binding;
    /// [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub async fn prepare<O: Record>(&self, op: &O, buffers: O::Buffers<'_>) -> Result<Call> {
        Call::new(self, op.describe(buffers)?).await
    }

    /// [`Self::prepare`], blocking.
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn prepare_blocking<O: Record>(&self, op: &O, buffers: O::Buffers<'_>) -> Result<Call> {
        pollster::block_on(self.prepare(op, buffers))
    }
}

/// The parts of a description, gathered and checked one by one.
struct Builder<'a> {
    name: &'static str,
    problem: Problem,
    roles: Roles<'a>,
    weights: Option<Vec<f32>>,
    input: MatrixBuffer<'a>,
}

impl<'a> Builder<'a> {
    fn new(
        op: RowOp,
        name: &'static str,
        slot: &'static str,
        input: MatrixBuffer<'a>,
    ) -> Result<Self> {
        input.validate(slot)?;
        let problem = Problem {
            op,
            rows: input.rows,
            classes: input.classes,
            input: input.region,
            second: None,
            output: Destination::None,
            targets: None,
            upstream: UpstreamRegion::Scalar(1.0),
            reduction: Reduction::None,
            loss: LossNumbers::default(),
        };
        let roles = Roles::from([(Slot::Input, input.buffer)]);
        Ok(Self { name, problem, roles, weights: None, input })
    }

    fn matrix(&self, name: &'static str, matrix: MatrixBuffer<'a>) -> Result<MatrixBuffer<'a>> {
        matrix.validate(name)?;
        if (matrix.rows, matrix.classes) == (self.input.rows, self.input.classes) {
            return Ok(matrix);
        }
        Err(Error::ShapeMismatch {
            what: name,
            expected: format!("[{}, {}]", self.input.rows, self.input.classes),
            found: format!("[{}, {}]", matrix.rows, matrix.classes),
        })
    }

    fn second(mut self, name: &'static str, matrix: MatrixBuffer<'a>) -> Result<Self> {
        self.problem.second = Some(self.matrix(name, matrix)?.region);
        self.roles.insert(Slot::Second, matrix.buffer);
        Ok(self)
    }

    fn output(mut self, name: &'static str, output: OutputBuffer<'a>) -> Result<Self> {
        self.problem.output = match output {
            OutputBuffer::InPlace => Destination::InPlace,
            OutputBuffer::Separate(matrix) => {
                let matrix = self.matrix(name, matrix)?;
                self.roles.insert(Slot::Output, matrix.buffer);
                Destination::Separate(matrix.region)
            }
        };
        Ok(self)
    }

    fn targets(mut self, targets: TargetsBuffer<'a>, ignore_index: Option<i64>) -> Result<Self> {
        let (vector, width) = targets.parts();
        vector.validate("targets", self.problem.rows, width.bytes())?;
        self.problem.targets = Some(TargetRegion { offset: vector.offset, width, ignore_index });
        self.roles.insert(Slot::Targets, vector.buffer);
        Ok(self)
    }

    fn upstream(mut self, name: &'static str, upstream: UpstreamBuffer<'a>) -> Result<Self> {
        self.problem.upstream = match upstream {
            UpstreamBuffer::Scalar(dloss) => UpstreamRegion::Scalar(dloss),
            UpstreamBuffer::Rows(vector) => {
                vector.validate(name, self.problem.rows, 4)?;
                self.roles.insert(Slot::Dloss, vector.buffer);
                UpstreamRegion::Rows(vector.offset)
            }
        };
        Ok(self)
    }

    /// wgpu cannot bind one buffer for reading and for writing in one dispatch.
    fn finish(self) -> Result<Description<'a>> {
        let written = match self.problem.output {
            Destination::Separate(_) => Some(Slot::Output),
            Destination::InPlace => Some(Slot::Input),
            Destination::None => None,
        };
        let target = written.and_then(|slot| self.roles.get(&slot).copied());
        let shared = self
            .roles
            .iter()
            .any(|(slot, buffer)| Some(*slot) != written && Some(*buffer) == target);
        if shared {
            return Err(Error::InvalidBuffer {
                name: "output",
                reason: "is also read from; write in place, or to another buffer".to_owned(),
            });
        }
        let Self { name, problem, roles, weights, .. } = self;
        Ok(Description { name, problem, roles, weights })
    }
}

/// What [`CrossEntropy`] binds on a GPU.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct CrossEntropyBuffers<'a> {
    logits: MatrixBuffer<'a>,
    targets: TargetsBuffer<'a>,
    upstream: UpstreamBuffer<'a>,
    dlogits: Option<OutputBuffer<'a>>,
}

impl<'a> CrossEntropyBuffers<'a> {
    /// Logits and their targets.
    pub fn new(logits: MatrixBuffer<'a>, targets: TargetsBuffer<'a>) -> Self {
        Self { logits, targets, upstream: UpstreamBuffer::default(), dlogits: None }
    }

    /// Where the gradient goes. Needed if the operation has one, and only then.
    #[must_use]
    pub fn with_dlogits(mut self, dlogits: OutputBuffer<'a>) -> Self {
        self.dlogits = Some(dlogits);
        self
    }

    /// The gradient from above; 1 unless set.
    #[must_use]
    pub fn with_upstream(mut self, upstream: UpstreamBuffer<'a>) -> Self {
        self.upstream = upstream;
        self
    }
}

impl Record for CrossEntropy {
    type Buffers<'a> = CrossEntropyBuffers<'a>;

    fn describe<'a>(&self, buffers: Self::Buffers<'a>) -> Result<Description<'a>> {
        let per_row = matches!(buffers.upstream, UpstreamBuffer::Rows(_));
        if per_row && self.reduction() != Reduction::None {
            return Err(Error::InvalidInput {
                what: "upstream",
                reason: format!("reduction {} takes one number, not one a row", self.reduction()),
            });
        }
        let mut builder =
            Builder::new(RowOp::CrossEntropy, "cross-entropy", "logits", buffers.logits)?
                .targets(buffers.targets, self.ignore_index())?
                .upstream("upstream", buffers.upstream)?;
        self.validate_options(builder.problem.classes)?;
        builder.problem.reduction = self.reduction();
        builder.problem.loss = self.numbers(builder.problem.classes);
        builder.weights = match builder.problem.loss.weighting {
            Weighting::None => None,
            _ => {
                Some((0..builder.problem.classes as usize).map(|j| self.weight(j) as f32).collect())
            }
        };
        match (self.has_gradient(), buffers.dlogits) {
            (true, Some(dlogits)) => builder.output("dlogits", dlogits)?.finish(),
            (false, None) => builder.finish(),
            (asked, _) => Err(Error::InvalidInput {
                what: "dlogits",
                reason: if asked {
                    "the operation has a gradient; say where it goes".to_owned()
                } else {
                    "the operation was built without a gradient".to_owned()
                },
            }),
        }
    }
}

impl CrossEntropy {
    /// The options as the shaders take them.
    fn numbers(&self, classes: u64) -> LossNumbers {
        let weighting = if self.label_smoothing() > 0.0 {
            Weighting::Smoothed
        } else if self.class_weights().is_some() {
            Weighting::Weights
        } else {
            Weighting::None
        };
        LossNumbers {
            weighting,
            chain: if self.has_chain() { Chain::Softcap } else { Chain::None },
            label_smoothing: self.label_smoothing() as f32,
            weight_sum: self.weight_sum(classes as usize) as f32,
            z_loss: self.z_loss() as f32,
            logit_scale: self.logit_scale() as f32,
            softcap: self.softcap().unwrap_or(0.0) as f32,
            normalizer: self.normalizer().unwrap_or(0.0) as f32,
        }
    }
}

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

/// What [`LogSumExp`] binds on a GPU; the result is the second column of [`Call::stats`].
#[derive(Debug, Clone, Copy)]
pub struct LogSumExpBuffers<'a> {
    /// `[rows, classes]`.
    pub logits: MatrixBuffer<'a>,
}

impl Record for LogSumExp {
    type Buffers<'a> = LogSumExpBuffers<'a>;

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

/// What [`LogSumExpBackward`] binds on a GPU.
#[derive(Debug, Clone, Copy)]
pub struct LogSumExpBackwardBuffers<'a> {
    /// `[rows, classes]`.
    pub logits: MatrixBuffer<'a>,
    /// The gradient with respect to the log-sum-exp, `[rows]` of f32.
    pub dlse: VectorBuffer<'a>,
    /// Where the gradient with respect to the logits goes.
    pub dlogits: OutputBuffer<'a>,
}

impl Record for LogSumExpBackward {
    type Buffers<'a> = LogSumExpBackwardBuffers<'a>;

    fn describe<'a>(&self, buffers: Self::Buffers<'a>) -> Result<Description<'a>> {
        Builder::new(RowOp::LogSumExp, "logsumexp-backward", "logits", buffers.logits)?
            .upstream("dlse", UpstreamBuffer::Rows(buffers.dlse))?
            .output("dlogits", buffers.dlogits)?
            .finish()
    }
}
