//! The losses, bound to buffers.

use super::{Builder, Description, Record, mask_buffer_option, unasked};
use crate::error::{Error, Result};
use crate::gpu::buffers::{MaskBuffer, MatrixBuffer, OutputBuffer, TargetsBuffer, UpstreamBuffer};
use crate::gpu::kernel::{Chain, TargetType, Weighting};
use crate::gpu::ops::{ElementOp, RowOp};
use crate::gpu::plan::LossNumbers;
use crate::op::{
    BinaryCrossEntropy, BinaryFocal, CrossEntropy, DivergenceKind, DivergenceSpec, ElementKind,
    Elementwise, ElementwiseSpec, Focal, JsDivergence, KlDivergence, PosWeight, Reduction,
};

/// What [`CrossEntropy`] and [`Focal`] bind on a GPU.
///
/// What is in the buffers is not seen by the host, and no number in them is an error: of input that is said
/// to be probabilities a number outside [0, 1] makes its row NaN; probability targets are not looked at, and
/// go through the formula. A class index that is none raises the flag of
/// [`Summary`](crate::gpu::Summary).
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct CrossEntropyBuffers<'a> {
    logits: MatrixBuffer<'a>,
    targets: TargetsBuffer<'a>,
    upstream: UpstreamBuffer<'a>,
    dlogits: Option<OutputBuffer<'a>>,
    dtargets: Option<MatrixBuffer<'a>>,
    mask: Option<MaskBuffer<'a>>,
}

impl<'a> CrossEntropyBuffers<'a> {
    /// Logits and their targets.
    pub fn new(logits: MatrixBuffer<'a>, targets: TargetsBuffer<'a>) -> Self {
        let upstream = UpstreamBuffer::default();
        Self { logits, targets, upstream, dlogits: None, dtargets: None, mask: None }
    }

    /// Where the gradient goes. Needed if the operation has one, and only then.
    #[must_use]
    pub fn with_dlogits(mut self, dlogits: OutputBuffer<'a>) -> Self {
        self.dlogits = Some(dlogits);
        self
    }

    /// Where the gradient of probability targets goes: a matrix of its own, never in place, because it
    /// is written before the targets are read for the last time. Needed if the operation has one, and
    /// only then.
    #[must_use]
    pub fn with_dtargets(mut self, dtargets: MatrixBuffer<'a>) -> Self {
        self.dtargets = Some(dtargets);
        self
    }

    /// The gradient from above; 1 unless set.
    #[must_use]
    pub fn with_upstream(mut self, upstream: UpstreamBuffer<'a>) -> Self {
        self.upstream = upstream;
        self
    }
}

mask_buffer_option!(CrossEntropyBuffers, "rows");

impl Record for CrossEntropy {
    type Buffers<'a> = CrossEntropyBuffers<'a>;

    fn describe<'a>(&self, buffers: Self::Buffers<'a>) -> Result<Description<'a>> {
        let probs = match buffers.targets {
            TargetsBuffer::Probs(matrix) => Some(matrix),
            _ => None,
        };
        let op = if probs.is_some() { RowOp::LabelCrossEntropy } else { RowOp::CrossEntropy };
        let mut builder = Builder::new(op, "cross-entropy", "logits", buffers.logits)?
            .cross_entropy(self, probs.is_some())?;
        builder = match buffers.targets {
            TargetsBuffer::I32(vector) => {
                builder.targets(vector, TargetType::I32, self.ignore_index())?
            }
            TargetsBuffer::I64(vector) => {
                builder.targets(vector, TargetType::I64, self.ignore_index())?
            }
            TargetsBuffer::Probs(matrix) => builder.second("targets", matrix)?,
        };
        builder = builder.row_mask(buffers.mask)?;
        // Without targets and masks rows are counted here, not on the device.
        let rows = probs.map_or(0, |matrix| matrix.rows) as f64;
        let is_counted = builder.problem.is_counted();
        let mean_of = (!is_counted).then(|| self.normalizer().unwrap_or(rows));
        builder = builder.reduction(self.reduction(), mean_of, buffers.upstream)?;
        builder = match (self.has_target_gradient(), buffers.dtargets) {
            (true, Some(matrix)) => {
                builder.before(RowOp::TargetGradient, Some(("dtargets", matrix)))?
            }
            (false, None) => builder,
            (asked, _) => return Err(unasked(asked, "dtargets")),
        };
        builder.output_if(self.has_gradient(), "dlogits", buffers.dlogits)?.finish()
    }
}

impl Builder<'_> {
    /// The options of cross-entropy.
    pub(super) fn cross_entropy(mut self, op: &CrossEntropy, by_label: bool) -> Result<Self> {
        let classes = self.problem.classes;
        op.validate_options(classes)?;
        op.validate_kind(by_label)?;
        self.problem.loss = op.numbers(classes, by_label);
        if op.class_weights().is_some() || self.problem.loss.weighting != Weighting::None {
            self.weights = Some((0..classes as usize).map(|j| op.weight(j) as f32).collect());
        }
        Ok(self)
    }
}

impl CrossEntropy {
    /// The options as the shaders take them.
    fn numbers(&self, classes: u64, targets_are_probs: bool) -> LossNumbers {
        let weighting = if self.label_smoothing() > 0.0 && !targets_are_probs {
            Weighting::Smoothed
        } else if self.class_weights().is_some() {
            Weighting::Weights
        } else {
            Weighting::None
        };
        LossNumbers {
            weighting,
            chain: if self.has_chain() { Chain::Softcap } else { Chain::None },
            form: self.form(),
            metrics: self.has_metrics(),
            label_smoothing: self.label_smoothing() as f32,
            weight_sum: self.weight_sum(classes as usize) as f32,
            z_loss: self.z_loss() as f32,
            logit_scale: self.logit_scale() as f32,
            softcap: self.softcap().unwrap_or(0.0) as f32,
            normalizer: self.normalizer().unwrap_or(0.0) as f32,
            unit: self.unit().per_nat() as f32,
            clamp: self.clamp() as f32,
            ..LossNumbers::default()
        }
    }
}

impl Record for Focal {
    type Buffers<'a> = CrossEntropyBuffers<'a>;

    fn describe<'a>(&self, buffers: Self::Buffers<'a>) -> Result<Description<'a>> {
        let mut builder = Builder::new(RowOp::Focal, "focal", "logits", buffers.logits)?;
        let classes = builder.problem.classes;
        self.validate_options(classes)?;
        builder.problem.loss = LossNumbers {
            weighting: if self.alpha().is_some() { Weighting::Weights } else { Weighting::None },
            gamma: self.gamma() as f32,
            unit: self.unit().per_nat() as f32,
            normalizer: self.normalizer().unwrap_or(0.0) as f32,
            ..LossNumbers::default()
        };
        builder.weights = self.alpha().map(|alpha| alpha.iter().map(|&a| a as f32).collect());
        let (vector, width) = match buffers.targets {
            TargetsBuffer::I32(vector) => (vector, TargetType::I32),
            TargetsBuffer::I64(vector) => (vector, TargetType::I64),
            TargetsBuffer::Probs(_) => {
                return Err(Error::InvalidInput {
                    what: "targets",
                    reason: "focal loss takes class indices, not probabilities".to_owned(),
                });
            }
        };
        if buffers.dtargets.is_some() {
            return Err(unasked(false, "dtargets"));
        }
        builder
            .targets(vector, width, self.ignore_index())?
            .row_mask(buffers.mask)?
            .reduction(self.reduction(), None, buffers.upstream)?
            .output_if(self.has_gradient(), "dlogits", buffers.dlogits)?
            .finish()
    }
}

/// What [`KlDivergence`] and [`JsDivergence`] bind on a GPU. The host cannot see a teacher's probabilities, or
/// their logarithms: what is none makes its row NaN, and is no error.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct DivergenceBuffers<'a> {
    teacher: MatrixBuffer<'a>,
    student: MatrixBuffer<'a>,
    upstream: UpstreamBuffer<'a>,
    dstudent: Option<OutputBuffer<'a>>,
    mask: Option<MaskBuffer<'a>>,
}

impl<'a> DivergenceBuffers<'a> {
    /// A teacher and a student.
    pub fn new(teacher: MatrixBuffer<'a>, student: MatrixBuffer<'a>) -> Self {
        let upstream = UpstreamBuffer::default();
        Self { teacher, student, upstream, dstudent: None, mask: None }
    }

    /// Where the gradient goes; in place means over the student. Needed if the operation has one, and
    /// only then.
    #[must_use]
    pub fn with_dstudent(mut self, dstudent: OutputBuffer<'a>) -> Self {
        self.dstudent = Some(dstudent);
        self
    }

    /// The gradient from above; 1 unless set.
    #[must_use]
    pub fn with_upstream(mut self, upstream: UpstreamBuffer<'a>) -> Self {
        self.upstream = upstream;
        self
    }
}

mask_buffer_option!(DivergenceBuffers, "rows");

pub(crate) fn divergence<'a>(
    spec: &DivergenceSpec,
    buffers: &DivergenceBuffers<'a>,
) -> Result<Description<'a>> {
    spec.validate_options()?;
    let (row_op, name) = match spec.kind {
        DivergenceKind::Kl => (RowOp::Kl, "kl-divergence"),
        DivergenceKind::ReverseKl => (RowOp::ReverseKl, "reverse kl-divergence"),
        DivergenceKind::Js(_) => (RowOp::Js, "js-divergence"),
    };
    let mut builder = Builder::new(row_op, name, "student", buffers.student)?;
    builder.problem.loss = LossNumbers {
        chain: if spec.temperature == 1.0 { Chain::None } else { Chain::Softcap },
        form: spec.teacher,
        logit_scale: (1.0 / spec.temperature) as f32,
        unit: spec.common.unit.per_nat() as f32,
        normalizer: spec.common.normalizer.unwrap_or(0.0) as f32,
        ..LossNumbers::default()
    };
    if let DivergenceKind::Js(of) = spec.kind {
        builder.problem.loss.mixture =
            [of.teacher, of.student, of.log_teacher, of.log_student, of.shift].map(|x| x as f32);
    }
    builder = builder.second("teacher", buffers.teacher)?.row_mask(buffers.mask)?;
    let rows = builder.problem.rows as f64;
    let mean_of = (!builder.problem.is_counted()).then(|| spec.common.divisor(rows));
    builder = builder.reduction(spec.common.reduction, mean_of, buffers.upstream)?;
    if row_op == RowOp::Js {
        builder = builder.before(RowOp::PairStats, None)?;
    }
    builder.output_if(spec.common.gradient, "dstudent", buffers.dstudent)?.finish()
}

/// What [`BinaryCrossEntropy`], [`BinaryFocal`] and [`Elementwise`] bind on a GPU. The host cannot see what
/// they hold: an input that is no probability where one is wanted gives NaN, labels are not looked at, and
/// neither is an error.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ElementwiseBuffers<'a> {
    input: MatrixBuffer<'a>,
    targets: MatrixBuffer<'a>,
    weights: Option<MatrixBuffer<'a>>,
    upstream: UpstreamBuffer<'a>,
    losses: Option<OutputBuffer<'a>>,
    dinput: Option<OutputBuffer<'a>>,
    mask: Option<MaskBuffer<'a>>,
    /// How many elements count, where the mask says all that there is to say, and this is known.
    kept: Option<u64>,
}

impl<'a> ElementwiseBuffers<'a> {
    /// An input and its targets.
    pub fn new(input: MatrixBuffer<'a>, targets: MatrixBuffer<'a>) -> Self {
        let upstream = UpstreamBuffer::default();
        let (losses, dinput, mask) = (None, None, None);
        Self { input, targets, weights: None, upstream, losses, dinput, mask, kept: None }
    }

    /// A factor for each element's loss.
    #[must_use]
    pub fn with_weights(mut self, weights: MatrixBuffer<'a>) -> Self {
        self.weights = Some(weights);
        self
    }

    /// The gradient from above; 1 unless set.
    #[must_use]
    pub fn with_upstream(mut self, upstream: UpstreamBuffer<'a>) -> Self {
        self.upstream = upstream;
        self
    }

    /// Where the elements' losses go. Needed if they are not reduced, and only then. In place, over
    /// the input, only where no gradient is asked for.
    #[must_use]
    pub fn with_losses(mut self, losses: OutputBuffer<'a>) -> Self {
        self.losses = Some(losses);
        self
    }

    /// Where the gradient goes; in place means over the input. Needed if the operation has one, and
    /// only then.
    #[must_use]
    pub fn with_dinput(mut self, dinput: OutputBuffer<'a>) -> Self {
        self.dinput = Some(dinput);
        self
    }

    /// A mask that leaves ignored labels out already, and how many elements of the batch count.
    pub(crate) fn with_counted_mask(self, mask: MaskBuffer<'a>, kept: u64) -> Self {
        Self { mask: Some(mask), kept: Some(kept), ..self }
    }
}

mask_buffer_option!(ElementwiseBuffers, "elements");

fn element_op(kind: &ElementKind) -> ElementOp {
    match kind {
        ElementKind::BinaryLogits => ElementOp::BinaryLogits,
        ElementKind::BinaryProbs => ElementOp::BinaryProbs,
        ElementKind::BinaryFocal { .. } => ElementOp::BinaryFocal,
        ElementKind::Squared => ElementOp::Squared,
        ElementKind::Absolute => ElementOp::Absolute,
        ElementKind::Huber { .. } => ElementOp::Huber,
        ElementKind::Hinge => ElementOp::Hinge,
    }
}

pub(crate) fn elementwise<'a>(
    spec: &ElementwiseSpec<'_>,
    buffers: &ElementwiseBuffers<'a>,
) -> Result<Description<'a>> {
    let common = spec.common;
    let element = element_op(&spec.kind);
    let each = common.reduction == Reduction::None;
    // Losses one by one need a pass of their own only if there is a gradient as well.
    let main = if each && !common.gradient {
        RowOp::ElementLosses(element)
    } else {
        RowOp::Elements(element)
    };
    let mut builder = Builder::new(main, "elementwise loss", "input", buffers.input)?;
    spec.validate_options(builder.problem.classes)?;
    let mut loss = LossNumbers {
        weighting: match spec.pos_weight {
            None => Weighting::None,
            Some(PosWeight::All(_)) => Weighting::Alike,
            Some(PosWeight::Columns(_)) => Weighting::Weights,
        },
        unit: common.unit.per_nat() as f32,
        normalizer: common.normalizer.unwrap_or(0.0) as f32,
        label: spec.labels.scale_and_offset(),
        ..LossNumbers::default()
    };
    match spec.kind {
        ElementKind::BinaryFocal { gamma, one, zero } => {
            loss.gamma = gamma as f32;
            loss.focal = (one as f32, zero as f32);
        }
        ElementKind::Huber { delta } => loss.delta = delta as f32,
        _ => {}
    }
    match spec.pos_weight {
        None => {}
        Some(PosWeight::All(weight)) => loss.weight = *weight as f32,
        Some(PosWeight::Columns(weights)) => {
            builder.weights = Some(weights.iter().map(|&w| w as f32).collect());
        }
    }
    builder.problem.loss = loss;
    let ignored = spec.ignore_index.filter(|_| buffers.kept.is_none());
    let is_counted = common.reduction == Reduction::Mean
        && common.normalizer.is_none()
        && buffers.kept.is_none();
    builder = builder.second("targets", buffers.targets)?.element_mask(
        buffers.mask,
        ignored,
        is_counted,
    )?;
    let elements = builder.problem.rows.saturating_mul(builder.problem.classes);
    let kept = buffers.kept.unwrap_or(elements) as f64;
    let mean_of = (!builder.problem.is_counted()).then(|| common.divisor(kept));
    builder = builder.reduction(common.reduction, mean_of, buffers.upstream)?;
    if let Some(weights) = buffers.weights {
        builder = builder.factors("weights", weights)?;
    }
    if each && !common.gradient {
        if buffers.dinput.is_some() {
            return Err(unasked(false, "dinput"));
        }
        return builder.output_if(true, "losses", buffers.losses)?.finish();
    }
    builder = match (each, buffers.losses) {
        (true, Some(OutputBuffer::Separate(matrix))) => {
            builder.before(RowOp::ElementLosses(element), Some(("losses", matrix)))?
        }
        (true, Some(OutputBuffer::InPlace)) => {
            return Err(Error::InvalidBuffer {
                name: "losses",
                reason: "are in the place of an input that the gradient needs".to_owned(),
            });
        }
        (false, None) => builder,
        (asked, _) => return Err(unasked(asked, "losses")),
    };
    builder.output_if(common.gradient, "dinput", buffers.dinput)?.finish()
}

macro_rules! record {
    ($buffers:ident, |$op_:ident, $given:ident| $describe:expr; $($op:ident),*) => {$(
        impl Record for $op {
            type Buffers<'a> = $buffers<'a>;

            fn describe<'a>(&self, $given: Self::Buffers<'a>) -> Result<Description<'a>> {
                let $op_ = self;
                $describe
            }
        }
    )*};
}
record!(DivergenceBuffers, |op, buffers| divergence(&op.spec(), &buffers);
    KlDivergence, JsDivergence);
record!(ElementwiseBuffers, |op, buffers| elementwise(&op.spec()?, &buffers);
    BinaryCrossEntropy, BinaryFocal, Elementwise);
