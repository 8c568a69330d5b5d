//! Divergences between two batches: Kullback-Leibler, either way round, and Jensen-Shannon.

use crate::error::Result;
use crate::matrix::{Array, Matrix};
use crate::op::mask::{counts, mask_option, validate_mask};
use crate::op::options::{
    Common, Range, common_options, unit_option, validate_log_probs, validate_number, validate_probs,
};
use crate::op::search::Nan;
use crate::op::{Data, InputForm, Kind, Loss, Op, Operation, Results, Upstream, sealed};

/// What the divergences read.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct DivergenceInput<'a> {
    /// Logits `[rows, classes]`, or probabilities or their logarithms if the operation says so.
    pub teacher: Matrix<'a>,
    /// Logits `[rows, classes]`.
    pub student: Matrix<'a>,
    /// The gradient from above; 1 unless set.
    pub upstream: Upstream<'a>,
    /// Which rows count, `[rows]`; all unless set.
    pub mask: Option<&'a [bool]>,
}

mask_option!(DivergenceInput, "rows");

impl<'a> DivergenceInput<'a> {
    /// A teacher and a student, of the same shape.
    pub fn new(teacher: Matrix<'a>, student: Matrix<'a>) -> Self {
        Self { teacher, student, upstream: Upstream::default(), mask: None }
    }

    /// Sets the gradient from above.
    #[must_use]
    pub fn with_upstream(mut self, upstream: Upstream<'a>) -> Self {
        self.upstream = upstream;
        self
    }
}

/// What the divergences return.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct DivergenceOutput {
    /// The divergence: of each row, or reduced. A mean divides by the number of rows that count.
    pub loss: Loss,
    /// The log-sum-exp of each row `[rows]` of the student's logits over the temperature, in nats.
    pub lse: Array,
    /// The gradient `[rows, classes]` with respect to the student, in its dtype (f64 from the
    /// reference), if it was asked for.
    pub dstudent: Option<Array>,
}

/// Which divergence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum DivergenceKind {
    Kl,
    ReverseKl,
    Js(Mixture),
}

/// The numbers of M = beta P + (1 - beta) Q, 0 < beta < 1; for one half ln 2 and no shift, exactly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Mixture {
    /// beta
    pub(crate) teacher: f64,
    /// 1 - beta
    pub(crate) student: f64,
    /// -ln beta
    pub(crate) log_teacher: f64,
    /// -ln(1 - beta)
    pub(crate) log_student: f64,
    /// ln((1 - beta) / beta)
    pub(crate) shift: f64,
}

impl Mixture {
    fn new(beta: f64) -> Self {
        Self {
            teacher: beta,
            student: 1.0 - beta,
            log_teacher: -beta.ln(),
            log_student: -(-beta).ln_1p(),
            shift: ((1.0 - beta) / beta).ln(),
        }
    }
}

/// A divergence as all its implementations take it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct DivergenceSpec {
    pub(crate) kind: DivergenceKind,
    pub(crate) temperature: f64,
    pub(crate) teacher: InputForm,
    pub(crate) common: Common,
}

impl DivergenceSpec {
    pub(crate) fn validate_options(&self) -> Result<()> {
        self.common.validate()?;
        if let DivergenceKind::Js(mixture) = self.kind {
            validate_number("beta", mixture.teacher, Range::Unit)?;
        }
        validate_number("temperature", self.temperature, Range::Positive)
    }

    pub(crate) fn validate(&self, input: &DivergenceInput<'_>) -> Result<()> {
        self.validate_options()?;
        input.teacher.expect_same_shape(&input.student, "student")?;
        let (rows, classes) = (input.student.rows(), input.student.columns());
        input.upstream.validate(self.common.reduction, rows, "row")?;
        validate_mask(input.mask, rows, "row")?;
        let counts = |i| counts(input.mask, i / classes);
        match self.teacher {
            InputForm::Logits => Ok(()),
            InputForm::LogProbs => validate_log_probs("teacher", &input.teacher, counts),
            InputForm::Probs => validate_probs("teacher", &input.teacher, Nan::Refused, counts),
        }
    }
}

/// The Kullback-Leibler divergence of a student from a teacher, row by row.
///
/// With `P = softmax(teacher / T)`, `Q = softmax(student / T)` (formula (19) of `docs/NUMERICS.md`):
///
/// ```text
/// KL(P || Q)          = sum_j P[j] (log P[j] - log Q[j])
///   dstudent[j]       = dloss (Q[j] - P[j]) / T
/// reverse, KL(Q || P) = sum_j Q[j] (log Q[j] - log P[j])
///   dstudent[j]       = dloss Q[j] ((log Q[j] - log P[j]) - KL(Q || P)) / T
/// ```
///
/// A mean divides by the number of rows that count (PyTorch's `batchmean`). A term whose first factor is 0 is
/// 0. The teacher may be [probabilities or log-probabilities](Self::with_teacher); the temperature
/// is not applied to them, and if they do not sum to 1, the gradient is `(Q sum(P) - P) / T`.
///
/// **Special values.** A row of logits that is -inf throughout, or holds +inf or NaN, gives NaN. A
/// class that the first distribution has and the second has not makes the divergence +inf; the
/// gradient of the forward divergence is finite there, that of the reverse NaN.
///
/// **Accuracy.** The divergence of equal rows is exactly 0. Otherwise its error in f32 is absolute, a
/// few times 2^-24 of `sum_j P[j] (|log P[j]| + |log Q[j]|)`; it may be slightly negative.
///
/// ```
/// use surprisal::{Device, DivergenceInput, KlDivergence, Matrix};
///
/// // Three to one against one to one.
/// let teacher = Matrix::new(&[0.0f32, 1.098_612_3], 1, 2)?;
/// let student = Matrix::new(&[0.0f32, 0.0], 1, 2)?;
/// let op = KlDivergence::new().with_gradient();
/// let output = Device::cpu().run(&op, DivergenceInput::new(teacher, student))?;
/// assert!((output.loss.reduced().unwrap() - 0.130_812).abs() < 1e-6);
/// let dstudent = output.dstudent.unwrap().to_f64();
/// assert!((dstudent[0] - 0.25).abs() < 1e-6 && (dstudent[1] + 0.25).abs() < 1e-6);
/// # Ok::<(), surprisal::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KlDivergence {
    common: Common,
    temperature: f64,
    teacher: InputForm,
    reverse: bool,
}

impl Default for KlDivergence {
    fn default() -> Self {
        let (common, teacher) = (Common::default(), InputForm::Logits);
        Self { common, temperature: 1.0, teacher, reverse: false }
    }
}

impl KlDivergence {
    /// The mean of KL(teacher || student) over rows, temperature 1, no gradient.
    pub fn new() -> Self {
        Self::default()
    }

    /// Turns it round: KL(student || teacher).
    #[must_use]
    pub fn with_reverse(mut self) -> Self {
        self.reverse = true;
        self
    }

    /// Whether it is KL(student || teacher).
    pub fn is_reverse(&self) -> bool {
        self.reverse
    }
}

/// The Jensen-Shannon divergence between a teacher and a student, row by row.
///
/// With `P = softmax(teacher / T)`, `Q = softmax(student / T)`, `M = (P + Q) / 2` (formula (20) of
/// `docs/NUMERICS.md`):
///
/// ```text
/// JS          = (KL(P || M) + KL(Q || M)) / 2             symmetric, at most log 2
/// dstudent[j] = dloss (s[j] - Q[j] sum_k s[k]) / T,   s[j] = Q[j] (log Q[j] - log M[j]) / 2
/// ```
///
/// Means, teachers that are probabilities or log-probabilities, and special values are those of
/// [`KlDivergence`]; it is never infinite. In f32 its error is absolute, a few times 2^-24.
///
/// **Generalised** ([`with_beta`](Self::with_beta)), the two sides have shares of their own:
///
/// ```text
/// M           = beta P + (1 - beta) Q
/// JS          = beta KL(P || M) + (1 - beta) KL(Q || M)
/// s[j]        = (1 - beta) Q[j] (log Q[j] - log M[j])     the gradient is made of it as above
/// ```
///
/// ```
/// use surprisal::{Device, DivergenceInput, JsDivergence, Matrix, Unit};
///
/// // Two classes that exclude each other: one bit.
/// let teacher = Matrix::new(&[0.0f32, f32::NEG_INFINITY], 1, 2)?;
/// let student = Matrix::new(&[f32::NEG_INFINITY, 0.0], 1, 2)?;
/// let op = JsDivergence::new().with_unit(Unit::Bits);
/// let output = Device::cpu().run(&op, DivergenceInput::new(teacher, student))?;
/// assert_eq!(output.loss.reduced(), Some(1.0));
/// # Ok::<(), surprisal::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JsDivergence {
    common: Common,
    temperature: f64,
    teacher: InputForm,
    beta: f64,
}

impl Default for JsDivergence {
    fn default() -> Self {
        let (common, teacher) = (Common::default(), InputForm::Logits);
        Self { common, temperature: 1.0, teacher, beta: 0.5 }
    }
}

impl JsDivergence {
    /// The mean over rows, beta one half, temperature 1, no gradient.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the teacher's share in the mixture, and of the divergence, in [0, 1].
    ///
    /// What distillation calls the generalised Jensen-Shannon divergence. 0 stands for KL(P || Q) and 1 for
    /// KL(Q || P), to the last bit those of [`KlDivergence`]; the formula itself is 0 at both ends, and
    /// after division by beta or by 1 - beta comes near the two.
    ///
    /// ```
    /// use surprisal::{Device, DivergenceInput, JsDivergence, KlDivergence, Matrix};
    ///
    /// let teacher = Matrix::new(&[0.0f32, 1.0, 2.0], 1, 3)?;
    /// let student = Matrix::new(&[0.5f32, 0.5, 0.0], 1, 3)?;
    /// let (device, input) = (Device::cpu(), DivergenceInput::new(teacher, student));
    /// let at = |beta| device.run(&JsDivergence::new().with_beta(beta), input);
    /// assert_eq!(at(0.0)?, device.run(&KlDivergence::new(), input)?);
    /// assert_eq!(at(1.0)?, device.run(&KlDivergence::new().with_reverse(), input)?);
    /// assert_eq!(at(0.5)?, device.run(&JsDivergence::new(), input)?);
    /// # Ok::<(), surprisal::Error>(())
    /// ```
    #[must_use]
    #[doc(alias = "generalized_jsd_loss")]
    pub fn with_beta(mut self, beta: f64) -> Self {
        self.beta = beta;
        self
    }

    /// The teacher's share.
    pub fn beta(&self) -> f64 {
        self.beta
    }
}

macro_rules! divergence {
    ($op:ident, |$self:ident| $kind:expr) => {
        common_options!($op, "student");
        unit_option!($op);

        impl $op {
            /// Divides the student's logits, and the teacher's if it has logits, by `temperature`.
            #[must_use]
            pub fn with_temperature(mut self, temperature: f64) -> Self {
                self.temperature = temperature;
                self
            }

            /// Says what the teacher's numbers are: logits unless set.
            #[must_use]
            pub fn with_teacher(mut self, form: InputForm) -> Self {
                self.teacher = form;
                self
            }

            /// The temperature.
            pub fn temperature(&self) -> f64 {
                self.temperature
            }

            /// What the teacher's numbers are.
            pub fn teacher(&self) -> InputForm {
                self.teacher
            }
        }

        impl $op {
            pub(crate) fn spec(&self) -> DivergenceSpec {
                let $self = self;
                let Self { common, temperature, teacher, .. } = *self;
                DivergenceSpec { kind: $kind, temperature, teacher, common }
            }
        }

        impl sealed::Sealed for $op {}
        impl Op for $op {
            type Input<'a> = DivergenceInput<'a>;
            type Output = DivergenceOutput;

            fn operation(&self) -> Result<Operation<'_>> {
                Ok(Operation(Kind::Divergence(self.spec())))
            }

            fn data(input: Self::Input<'_>) -> Data<'_> {
                let DivergenceInput { teacher, student, upstream, mask } = input;
                Data { second: Some(teacher), upstream, mask, ..Data::of(student) }
            }

            fn raise(results: Results) -> DivergenceOutput {
                results.into_divergence()
            }
        }
    };
}
divergence!(KlDivergence, |op| if op.reverse {
    DivergenceKind::ReverseKl
} else {
    DivergenceKind::Kl
});
divergence!(JsDivergence, |op| match op.beta {
    0.0 => DivergenceKind::Kl,
    1.0 => DivergenceKind::ReverseKl,
    beta => DivergenceKind::Js(Mixture::new(beta)),
});

#[cfg(test)]
mod tests {
    use std::f64::consts::LN_2;

    use super::Mixture;

    #[test]
    fn one_half_is_exact() {
        let (half, shift) = (0.5, 0.0);
        let want =
            Mixture { teacher: half, student: half, log_teacher: LN_2, log_student: LN_2, shift };
        assert_eq!(Mixture::new(0.5), want);
    }
}
