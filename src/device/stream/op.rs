//! What streaming has to know of each operation.

use std::borrow::Cow;

use super::parts::{Made, Parts};
use super::{Batch, Counts, Part};
use crate::cpu::InstructionSet;
use crate::device::{Evaluate, EvaluateInto as _};
use crate::error::{Error, Result};
use crate::matrix::Array;
use crate::op::{
    BinaryCrossEntropy, BinaryFocal, CrossEntropy, CrossEntropyInput, DivergenceInput,
    DivergenceOp as _, Elementwise, ElementwiseInput, ElementwiseOp as _, Entropy, EntropyBackward,
    EntropyBackwardInput, Focal, JsDivergence, KlDivergence, Labels, LogSoftmax, LogSumExp,
    LogitsInput, Loss, Metrics, Reduction, Softmax, Surprisal, Targets, TransformOp as _, Unit,
    Upstream, kept,
};

/// An operation that [`Device::stream`](crate::Device::stream) can evaluate window by window: all but
/// the backwards of softmax, log-softmax and log-sum-exp.
pub trait Stream: Evaluate + Clone {
    #[doc(hidden)]
    fn begin(&self, batch: &Batch<'_>) -> Result<Counts>;
    #[doc(hidden)]
    fn result(&self) -> Made;
    #[doc(hidden)]
    fn reduction_of(&self) -> Reduction;
    #[doc(hidden)]
    fn unit_of(&self) -> Unit;
    #[doc(hidden)]
    fn has_metrics_of(&self) -> bool {
        false
    }
    /// Whether its targets may be class indices.
    #[doc(hidden)]
    fn has_indices(&self) -> bool {
        false
    }
    /// The same with losses one by one, after windows with this sum of -log p.
    #[doc(hidden)]
    #[must_use]
    fn of_window(&self, nll_before: f64) -> Self;
    #[doc(hidden)]
    fn parts<'w>(input: &Self::Input<'w>) -> Parts<'w>;
    #[doc(hidden)]
    fn join(parts: Parts<'_>) -> Self::Input<'_>;
    /// Which elements of an elementwise loss count; none if all do.
    #[doc(hidden)]
    fn element_mask<'w>(&self, _: &Self::Input<'w>) -> Option<Cow<'w, [bool]>> {
        None
    }
    #[doc(hidden)]
    fn check(&self, input: &Self::Input<'_>) -> Result<()>;
    #[doc(hidden)]
    fn part(output: Self::Output) -> (Part, Option<Metrics>);
    /// On the CPU with the matrix in `out`, if the operation can do that.
    #[doc(hidden)]
    fn cpu_into_array(
        &self,
        _: InstructionSet,
        _: Self::Input<'_>,
        _: &mut Array,
    ) -> Result<Option<Part>> {
        Ok(None)
    }
    #[cfg(feature = "gpu")]
    #[doc(hidden)]
    fn describe_window<'b>(
        &self,
        buffers: &'b super::buffers::Buffers,
        parts: &Parts<'_>,
    ) -> Result<crate::gpu::Description<'b>>;
}

fn each_of(loss: Loss) -> Option<Array> {
    if let Loss::Each(losses) = loss { Some(losses) } else { None }
}

/// What cross-entropy and focal loss have in common.
macro_rules! stream_row_loss {
    ($op:ident, $begin:expr, $window:expr $(, $more:item)*) => {
        impl Stream for $op {
            fn begin(&self, batch: &Batch<'_>) -> Result<Counts> {
                let begin: fn(&Self, &Batch<'_>) -> Result<Counts> = $begin;
                begin(self, batch)
            }

            fn result(&self) -> Made {
                Made::RowLosses { gradient: self.has_gradient() }
            }

            fn has_indices(&self) -> bool {
                true
            }

            fn reduction_of(&self) -> Reduction {
                self.reduction()
            }

            fn unit_of(&self) -> Unit {
                self.unit()
            }

            $($more)*

            fn of_window(&self, nll_before: f64) -> Self {
                let window: fn(Self, f64) -> Self = $window;
                window(self.clone().with_reduction(Reduction::None).with_normalizer(None), nll_before)
            }

            fn parts<'w>(input: &Self::Input<'w>) -> Parts<'w> {
                let (second, targets) = match input.targets {
                    Targets::Probs(probs) => (Some(probs), None),
                    indices => (None, Some(indices)),
                };
                let CrossEntropyInput { logits, upstream, mask, .. } = *input;
                Parts { second, targets, upstream, mask, ..Parts::of(logits) }
            }

            fn join(parts: Parts<'_>) -> Self::Input<'_> {
                let probs = parts.second.map(Targets::Probs);
                let targets = parts.targets.or(probs).unwrap_or(Targets::I32(&[]));
                Labels { mask: parts.mask, ..Labels::new(targets).with_upstream(parts.upstream) }
                    .of(parts.input)
            }

            fn check(&self, input: &Self::Input<'_>) -> Result<()> {
                self.validate(input)
            }

            fn part(output: Self::Output) -> (Part, Option<Metrics>) {
                let lse = Some(output.lse);
                (Part { matrix: output.dlogits, each: each_of(output.loss), lse }, output.metrics)
            }

            fn cpu_into_array(
                &self,
                set: InstructionSet,
                input: Self::Input<'_>,
                out: &mut Array,
            ) -> Result<Option<Part>> {
                if !self.has_gradient() || self.has_metrics_of() {
                    return Ok(None);
                }
                let out = out.as_matrix_like(&input.logits)?;
                let output = self.cpu_into(set, input, out)?;
                Ok(Some(Self::part(output).0))
            }

            #[cfg(feature = "gpu")]
            fn describe_window<'b>(
                &self,
                buffers: &'b super::buffers::Buffers,
                parts: &Parts<'_>,
            ) -> Result<crate::gpu::Description<'b>> {
                buffers.describe_row_loss(self, parts, self.result())
            }
        }
    };
}

/// The class indices of the whole batch, which are checked here and not again.
fn indices<'a>(batch: &Batch<'a>, classes: usize) -> Result<Option<Targets<'a>>> {
    let Some(targets) = batch.targets() else { return Ok(None) };
    if targets.probs().is_some() {
        return Err(Error::InvalidInput {
            what: "targets",
            reason: "are probabilities; those come with the windows".to_owned(),
        });
    }
    if targets.len() == batch.rows() {
        return Ok(Some(targets));
    }
    Err(Error::ShapeMismatch {
        what: "targets",
        expected: format!("[{0}], one for each row of logits [{0}, {classes}]", batch.rows()),
        found: format!("[{}]", targets.len()),
    })
}

stream_row_loss!(
    CrossEntropy,
    |op, batch| {
        op.validate_options(batch.columns() as u64)?;
        let targets = indices(batch, batch.columns())?;
        op.validate_kind(targets.is_none())?;
        if op.has_target_gradient() {
            return Err(Error::InvalidInput {
                what: "target_gradient",
                reason: "is not there window by window".to_owned(),
            });
        }
        let (kept_rows, total_weight) = if let Some(targets) = targets {
            let of_rows = op.rows(targets, batch.mask);
            of_rows.validate(batch.columns())?;
            op.totals(&of_rows)
        } else {
            let kept = kept(batch.mask, batch.rows());
            (kept as u64, kept as f64)
        };
        let divisor = op.normalizer().unwrap_or(total_weight);
        Ok(Counts { kept_rows, total_weight, divisor })
    },
    CrossEntropy::for_window,
    fn has_metrics_of(&self) -> bool {
        self.has_metrics()
    }
);
stream_row_loss!(
    Focal,
    |op, batch| {
        op.validate_options(batch.columns() as u64)?;
        let targets = indices(batch, batch.columns())?.ok_or(Error::InvalidInput {
            what: "targets",
            reason: "have to be known before the first window".to_owned(),
        })?;
        let of_rows = op.rows(targets, batch.mask);
        of_rows.validate(batch.columns())?;
        let kept = of_rows.kept();
        Ok(counts(kept, kept, op.normalizer()))
    },
    |op, _| op
);

fn counts(rows: usize, losses: usize, normalizer: Option<f64>) -> Counts {
    let total_weight = losses as f64;
    let divisor = normalizer.unwrap_or(total_weight);
    Counts { kept_rows: rows as u64, total_weight, divisor }
}

macro_rules! stream_divergence {
    ($($op:ident),*) => {$(
        impl Stream for $op {
            fn begin(&self, batch: &Batch<'_>) -> Result<Counts> {
                self.spec().validate_options()?;
                let kept = kept(batch.mask, batch.rows());
                Ok(counts(kept, kept, self.normalizer()))
            }

            fn result(&self) -> Made {
                Made::RowLosses { gradient: self.has_gradient() }
            }

            fn reduction_of(&self) -> Reduction {
                self.reduction()
            }

            fn unit_of(&self) -> Unit {
                self.spec().common.unit
            }

            fn of_window(&self, _: f64) -> Self {
                self.clone().with_reduction(Reduction::None).with_normalizer(None)
            }

            fn parts<'w>(input: &Self::Input<'w>) -> Parts<'w> {
                let DivergenceInput { teacher, student, upstream, mask } = *input;
                Parts { second: Some(teacher), upstream, mask, ..Parts::of(student) }
            }

            fn join(parts: Parts<'_>) -> Self::Input<'_> {
                let (student, upstream, mask) = (parts.input, parts.upstream, parts.mask);
                let teacher = parts.second.unwrap_or(student);
                DivergenceInput { teacher, student, upstream, mask }
            }

            fn check(&self, input: &Self::Input<'_>) -> Result<()> {
                self.spec().validate(input)
            }

            fn part(output: Self::Output) -> (Part, Option<Metrics>) {
                let lse = Some(output.lse);
                (Part { matrix: output.dstudent, each: each_of(output.loss), lse }, None)
            }

            #[cfg(feature = "gpu")]
            fn describe_window<'b>(
                &self,
                buffers: &'b super::buffers::Buffers,
                parts: &Parts<'_>,
            ) -> Result<crate::gpu::Description<'b>> {
                buffers.describe_divergence(self, parts, self.result())
            }
        }
    )*};
}
stream_divergence!(KlDivergence, JsDivergence);

macro_rules! stream_elementwise {
    ($($op:ident),*) => {$(
        impl Stream for $op {
            fn begin(&self, batch: &Batch<'_>) -> Result<Counts> {
                self.spec()?.validate_options(batch.columns() as u64)?;
                let elements = batch.rows().saturating_mul(batch.columns());
                let kept = batch.kept_elements.unwrap_or(elements);
                Ok(counts(elements / batch.shown_columns.max(1), kept, self.normalizer()))
            }

            fn result(&self) -> Made {
                let each = self.reduction() == Reduction::None;
                let by_column = self.spec().is_ok_and(|spec| spec.has_columns());
                Made::ElementLosses { each, gradient: self.has_gradient(), by_column }
            }

            fn reduction_of(&self) -> Reduction {
                self.reduction()
            }

            fn unit_of(&self) -> Unit {
                self.spec().map_or(Unit::Nats, |spec| spec.common.unit)
            }

            fn of_window(&self, _: f64) -> Self {
                self.clone().with_reduction(Reduction::None).with_normalizer(None)
            }

            fn parts<'w>(input: &Self::Input<'w>) -> Parts<'w> {
                Parts {
                    second: Some(input.targets),
                    factors: input.weights,
                    upstream: input.upstream,
                    mask: input.mask,
                    ..Parts::of(input.input)
                }
            }

            fn join(parts: Parts<'_>) -> Self::Input<'_> {
                let Parts { input, second, factors: weights, upstream, mask, .. } = parts;
                ElementwiseInput { input, targets: second.unwrap_or(input), weights, upstream, mask }
            }

            fn element_mask<'w>(&self, input: &Self::Input<'w>) -> Option<Cow<'w, [bool]>> {
                self.spec().ok().and_then(|spec| spec.mask(input))
            }

            fn check(&self, input: &Self::Input<'_>) -> Result<()> {
                self.spec()?.validate(input)
            }

            fn part(output: Self::Output) -> (Part, Option<Metrics>) {
                (Part { matrix: output.dinput, each: each_of(output.loss), lse: None }, None)
            }

            #[cfg(feature = "gpu")]
            fn describe_window<'b>(
                &self,
                buffers: &'b super::buffers::Buffers,
                parts: &Parts<'_>,
            ) -> Result<crate::gpu::Description<'b>> {
                buffers.describe_elementwise(self, parts, self.result())
            }
        }
    )*};
}
stream_elementwise!(BinaryCrossEntropy, BinaryFocal, Elementwise);

/// A transform without a gradient of its own: `$made`, and how a GPU binds it.
macro_rules! stream_transform {
    ($($op:ident: $made:expr, $describe:ident $(, $into:ident)?;)*) => {$(
        impl Stream for $op {
            $(fn cpu_into_array(
                &self,
                set: InstructionSet,
                input: Self::Input<'_>,
                out: &mut Array,
            ) -> Result<Option<Part>> {
                self.$into(set, input, out.as_matrix_like(&input.logits)?)?;
                Ok(Some(Part::default()))
            })?

            fn begin(&self, batch: &Batch<'_>) -> Result<Counts> {
                let kept = kept(batch.mask, batch.rows());
                Ok(counts(kept, kept, None))
            }

            fn result(&self) -> Made {
                $made
            }

            fn reduction_of(&self) -> Reduction {
                Reduction::None
            }

            fn unit_of(&self) -> Unit {
                Unit::Nats
            }

            fn of_window(&self, _: f64) -> Self {
                *self
            }

            fn parts<'w>(input: &Self::Input<'w>) -> Parts<'w> {
                Parts { mask: input.mask, ..Parts::of(input.logits) }
            }

            fn join(parts: Parts<'_>) -> Self::Input<'_> {
                LogitsInput { mask: parts.mask, ..parts.input.into() }
            }

            fn check(&self, _: &Self::Input<'_>) -> Result<()> {
                Ok(())
            }

            fn part(output: Self::Output) -> (Part, Option<Metrics>) {
                let part = Part::default();
                let is_matrix = matches!($made, Made::Matrix);
                let (matrix, each) =
                    if is_matrix { (Some(output), None) } else { (None, Some(output)) };
                (Part { matrix, each, ..part }, None)
            }

            #[cfg(feature = "gpu")]
            fn describe_window<'b>(
                &self,
                buffers: &'b super::buffers::Buffers,
                _: &Parts<'_>,
            ) -> Result<crate::gpu::Description<'b>> {
                buffers.$describe(self)
            }
        }
    )*};
}
stream_transform! {
    Softmax: Made::Matrix, describe_transform, cpu_into;
    LogSoftmax: Made::Matrix, describe_transform, cpu_into;
    Surprisal: Made::Matrix, describe_transform;
    LogSumExp: Made::Rows { column: 1 }, describe_rows;
    Entropy: Made::Rows { column: 0 }, describe_rows;
}

/// The upstream gradient goes with the rows.
impl Stream for EntropyBackward {
    fn begin(&self, batch: &Batch<'_>) -> Result<Counts> {
        let kept = kept(batch.mask, batch.rows());
        Ok(counts(kept, kept, None))
    }

    fn result(&self) -> Made {
        Made::Matrix
    }

    fn reduction_of(&self) -> Reduction {
        Reduction::None
    }

    fn unit_of(&self) -> Unit {
        self.unit()
    }

    fn of_window(&self, _: f64) -> Self {
        *self
    }

    fn parts<'w>(input: &Self::Input<'w>) -> Parts<'w> {
        let upstream = Upstream::Each(input.dentropy);
        Parts { upstream, mask: input.mask, ..Parts::of(input.logits) }
    }

    fn join(parts: Parts<'_>) -> Self::Input<'_> {
        let dentropy = match parts.upstream {
            Upstream::Each(dentropy) => dentropy,
            Upstream::Scalar(_) => (&[0.0f32; 0]).into(),
        };
        EntropyBackwardInput { logits: parts.input, dentropy, mask: parts.mask }
    }

    fn check(&self, input: &Self::Input<'_>) -> Result<()> {
        self.common(*input).validate()
    }

    fn part(output: Self::Output) -> (Part, Option<Metrics>) {
        (Part { matrix: Some(output), ..Part::default() }, None)
    }

    #[cfg(feature = "gpu")]
    fn describe_window<'b>(
        &self,
        buffers: &'b super::buffers::Buffers,
        _: &Parts<'_>,
    ) -> Result<crate::gpu::Description<'b>> {
        buffers.describe_row_backward(self, "dentropy")
    }
}
