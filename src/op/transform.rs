//! Softmax, log-softmax, logsumexp, entropy and surprisal of each row, and the backward of each.

use crate::error::Result;
use crate::matrix::{Array, Matrix, Values};
use crate::op::mask::mask_option;
use crate::op::{Data, Kind, Op, Operation, Results, Unit, Upstream, sealed};

/// The closed set of row transforms, for the code that runs them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Transform {
    Softmax,
    LogSoftmax,
    LogSumExp,
    SoftmaxBackward,
    LogSoftmaxBackward,
    LogSumExpBackward,
    Entropy,
    EntropyBackward,
    Surprisal,
}

impl Transform {
    /// Whether the result is one number a row.
    pub(crate) fn reduces(self) -> bool {
        matches!(self, Self::LogSumExp | Self::Entropy)
    }
}

macro_rules! transform {
    ($op:ident, $input:ident, $unit:expr, |$value:ident| $data:expr) => {
        impl sealed::Sealed for $op {}
        impl Op for $op {
            type Input<'a> = $input<'a>;
            type Output = Array;

            fn operation(&self) -> Result<Operation<'_>> {
                let unit: fn(&Self) -> Unit = $unit;
                Ok(Operation(Kind::Transform(Transform::$op, unit(self))))
            }

            fn data($value: Self::Input<'_>) -> Data<'_> {
                $data
            }

            fn raise(results: Results) -> Array {
                results.into_transform()
            }
        }
    };
}

/// What the row transforms read: a matrix, which may come as it is, and which of its rows count.
///
/// ```
/// use surprisal::{Device, LogitsInput, Matrix, Softmax};
///
/// let logits = Matrix::new(&[0.0f32, 0.0, f32::NAN, 1.0], 2, 2)?;
/// let input = LogitsInput::new(logits).with_mask(&[true, false]);
/// let probs = Device::cpu().run(&Softmax, input)?;
/// assert_eq!(probs.as_f32().unwrap(), [0.5, 0.5, 0.0, 0.0]);
/// # Ok::<(), surprisal::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct LogitsInput<'a> {
    /// `[rows, classes]`.
    pub logits: Matrix<'a>,
    /// Which rows count, `[rows]`; all unless set.
    pub mask: Option<&'a [bool]>,
}

mask_option!(LogitsInput, "rows");

impl<'a> LogitsInput<'a> {
    /// A matrix, all of whose rows count.
    pub fn new(logits: Matrix<'a>) -> Self {
        Self { logits, mask: None }
    }

    fn data(self) -> Data<'a> {
        Data { mask: self.mask, ..Data::of(self.logits) }
    }
}

impl<'a> From<Matrix<'a>> for LogitsInput<'a> {
    fn from(logits: Matrix<'a>) -> Self {
        Self::new(logits)
    }
}

/// The softmax of each row: `probs[j] = exp(logits[j] - max) / (1 + rest)`.
///
/// Returns `[rows, classes]` in the logits' dtype (f64 from the reference). A -inf logit gives 0;
/// a row that is -inf throughout or holds +inf or NaN gives a row of NaN. The relative error of
/// `probs[j]` in f32 is about `2^-22 + 2^-24 |logits[j] - max|`, plus the sum's.
///
/// ```
/// use surprisal::{Device, Matrix, Softmax};
///
/// let probs = Device::cpu().run(&Softmax, Matrix::new(&[0.0f32, f32::ln(3.0)], 1, 2)?)?;
/// assert!((probs.as_f32().unwrap()[1] - 0.75).abs() < 1e-6);
/// # Ok::<(), surprisal::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Softmax;
transform!(Softmax, LogitsInput, |_| Unit::Nats, |input| input.data());

/// The log-softmax of each row: `log_probs[j] = (logits[j] - max) - log1p(rest)`.
///
/// Returns `[rows, classes]` in the logits' dtype (f64 from the reference). A -inf logit gives
/// -inf; a row that is -inf throughout or holds +inf or NaN gives a row of NaN.
///
/// ```
/// use surprisal::{Device, LogSoftmax, Matrix};
///
/// let log_probs = Device::cpu().run(&LogSoftmax, Matrix::new(&[5.0f32, 5.0], 1, 2)?)?;
/// assert!((log_probs.as_f32().unwrap()[0] + f32::ln(2.0)).abs() < 1e-6);
/// # Ok::<(), surprisal::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogSoftmax;
transform!(LogSoftmax, LogitsInput, |_| Unit::Nats, |input| input.data());

/// The logarithm of the sum of the exponentials of each row: `lse = max + log1p(rest)`.
///
/// Returns `[rows]` in f32 (f64 from the reference): -inf for a row that is -inf throughout, +inf
/// for one that holds +inf and no NaN, NaN for one that holds NaN.
///
/// ```
/// use surprisal::{Device, LogSumExp, Matrix};
///
/// let lse = Device::cpu().run(&LogSumExp, Matrix::new(&[1000.0f32, 1000.0], 1, 2)?)?;
/// assert_eq!(lse.as_f32().unwrap()[0], 1000.0 + f32::ln(2.0));
/// # Ok::<(), surprisal::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogSumExp;
transform!(LogSumExp, LogitsInput, |_| Unit::Nats, |input| input.data());

/// What [`SoftmaxBackward`] reads.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct SoftmaxBackwardInput<'a> {
    /// What [`Softmax`] returned, `[rows, classes]`.
    pub probs: Matrix<'a>,
    /// The gradient with respect to it, of the same shape and dtype.
    pub dprobs: Matrix<'a>,
    /// Which rows count, `[rows]`; all unless set.
    pub mask: Option<&'a [bool]>,
}

mask_option!(SoftmaxBackwardInput, "rows");

impl<'a> SoftmaxBackwardInput<'a> {
    /// What the forward returned, and the gradient with respect to what it returned.
    pub fn new(probs: Matrix<'a>, dprobs: impl Into<Matrix<'a>>) -> Self {
        Self { probs, dprobs: dprobs.into(), mask: None }
    }
}

/// The gradient of [`Softmax`]: `dlogits[j] = probs[j] (dprobs[j] - sum_k probs[k] dprobs[k])`.
///
/// Returns `[rows, classes]` in the dtype of `probs` (f64 from the reference).
///
/// ```
/// use surprisal::{Device, Matrix, SoftmaxBackward, SoftmaxBackwardInput};
///
/// let probs = Matrix::new(&[0.25f32, 0.75], 1, 2)?;
/// let dprobs = Matrix::new(&[1.0f32, 0.0], 1, 2)?;
/// let input = SoftmaxBackwardInput::new(probs, dprobs);
/// let dlogits = Device::cpu().run(&SoftmaxBackward, input)?;
/// assert_eq!(dlogits.as_f32().unwrap(), [0.1875, -0.1875]);
/// # Ok::<(), surprisal::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SoftmaxBackward;
transform!(SoftmaxBackward, SoftmaxBackwardInput, |_| Unit::Nats, |i| Data {
    second: Some(i.dprobs),
    mask: i.mask,
    ..Data::of(i.probs)
});

/// What [`LogSoftmaxBackward`] reads.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct LogSoftmaxBackwardInput<'a> {
    /// What [`LogSoftmax`] returned, `[rows, classes]`.
    pub log_probs: Matrix<'a>,
    /// The gradient with respect to it, of the same shape and dtype.
    pub dlog_probs: Matrix<'a>,
    /// Which rows count, `[rows]`; all unless set.
    pub mask: Option<&'a [bool]>,
}

mask_option!(LogSoftmaxBackwardInput, "rows");

impl<'a> LogSoftmaxBackwardInput<'a> {
    /// What the forward returned, and the gradient with respect to what it returned.
    pub fn new(log_probs: Matrix<'a>, dlog_probs: impl Into<Matrix<'a>>) -> Self {
        Self { log_probs, dlog_probs: dlog_probs.into(), mask: None }
    }
}

/// The gradient of [`LogSoftmax`]:
/// `dlogits[j] = dlog_probs[j] - exp(log_probs[j]) sum_k dlog_probs[k]`.
///
/// Returns `[rows, classes]` in the dtype of `log_probs` (f64 from the reference).
///
/// ```
/// use surprisal::{Device, LogSoftmaxBackward, LogSoftmaxBackwardInput, Matrix};
///
/// let halves = [f32::ln(0.5); 2];
/// let log_probs = Matrix::new(&halves, 1, 2)?;
/// let dlog_probs = Matrix::new(&[1.0f32, 0.0], 1, 2)?;
/// let input = LogSoftmaxBackwardInput::new(log_probs, dlog_probs);
/// let dlogits = Device::cpu().run(&LogSoftmaxBackward, input)?;
/// assert_eq!(dlogits.as_f32().unwrap(), [0.5, -0.5]);
/// # Ok::<(), surprisal::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogSoftmaxBackward;
transform!(LogSoftmaxBackward, LogSoftmaxBackwardInput, |_| Unit::Nats, |i| Data {
    second: Some(i.dlog_probs),
    mask: i.mask,
    ..Data::of(i.log_probs)
});

/// What [`LogSumExpBackward`] reads.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct LogSumExpBackwardInput<'a> {
    /// What [`LogSumExp`] read, `[rows, classes]`.
    pub logits: Matrix<'a>,
    /// The gradient with respect to what it returned, `[rows]`.
    pub dlse: Values<'a>,
    /// Which rows count, `[rows]`; all unless set.
    pub mask: Option<&'a [bool]>,
}

mask_option!(LogSumExpBackwardInput, "rows");

impl<'a> LogSumExpBackwardInput<'a> {
    /// What the forward read, and the gradient with respect to what it returned.
    pub fn new(logits: Matrix<'a>, dlse: impl Into<Values<'a>>) -> Self {
        Self { logits, dlse: dlse.into(), mask: None }
    }
}

/// The gradient of [`LogSumExp`]: `dlogits[j] = dlse * softmax(logits)[j]`.
///
/// Returns `[rows, classes]` in the logits' dtype (f64 from the reference). The softmax is made
/// anew from the logits: from a stored `lse` it would lose digits where all logits are large.
///
/// ```
/// use surprisal::{Device, LogSumExpBackward, LogSumExpBackwardInput, Matrix};
///
/// let logits = Matrix::new(&[1e6f32, 1e6], 1, 2)?;
/// let input = LogSumExpBackwardInput::new(logits, &[3.0f32]);
/// let dlogits = Device::cpu().run(&LogSumExpBackward, input)?;
/// assert_eq!(dlogits.as_f32().unwrap(), [1.5, 1.5]);
/// # Ok::<(), surprisal::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogSumExpBackward;
transform!(LogSumExpBackward, LogSumExpBackwardInput, |_| Unit::Nats, |i| Data {
    upstream: Upstream::Each(i.dlse),
    mask: i.mask,
    ..Data::of(i.logits)
});

/// The entropy of each row's softmax: `sum_j p[j] nll[j]`, `nll[j] = -log p[j]`.
///
/// Returns `[rows]` in f32 (f64 from the reference), in nats unless told: from 0, where one class is
/// certain, to `log(classes)`, where all are alike. A -inf logit contributes 0; a row that is -inf
/// throughout or holds +inf or NaN gives NaN. Formula (21) of `docs/NUMERICS.md`.
///
/// ```
/// use surprisal::{Device, Entropy, Matrix, Unit};
///
/// // The letters of HELLO, by their frequencies: H, E and O once, L twice.
/// let logits = [0.0f32, 0.0, 0.0, f32::ln(2.0)];
/// let entropy = Entropy::new().with_unit(Unit::Bits);
/// let bits = Device::cpu().run(&entropy, Matrix::new(&logits, 1, 4)?)?;
/// assert!((bits.as_f32().unwrap()[0] - 1.921_928).abs() < 1e-5);
/// # Ok::<(), surprisal::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Entropy {
    unit: Unit,
}

/// What [`EntropyBackward`] reads.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct EntropyBackwardInput<'a> {
    /// What [`Entropy`] read, `[rows, classes]`.
    pub logits: Matrix<'a>,
    /// The gradient with respect to what it returned, `[rows]`.
    pub dentropy: Values<'a>,
    /// Which rows count, `[rows]`; all unless set.
    pub mask: Option<&'a [bool]>,
}

mask_option!(EntropyBackwardInput, "rows");

impl<'a> EntropyBackwardInput<'a> {
    /// What the forward read, and the gradient with respect to what it returned.
    pub fn new(logits: Matrix<'a>, dentropy: impl Into<Values<'a>>) -> Self {
        Self { logits, dentropy: dentropy.into(), mask: None }
    }
}

/// The gradient of [`Entropy`]: `dlogits[j] = dentropy p[j] (nll[j] - entropy)`.
///
/// Returns `[rows, classes]` in the logits' dtype (f64 from the reference); 0 where `p[j]` is 0.
///
/// ```
/// use surprisal::{Device, EntropyBackward, EntropyBackwardInput, Matrix};
///
/// // All classes alike: the entropy is at its largest, and flat.
/// let logits = Matrix::new(&[3.0f32, 3.0, 3.0, 3.0], 1, 4)?;
/// let input = EntropyBackwardInput::new(logits, &[1.0f32]);
/// let dlogits = Device::cpu().run(&EntropyBackward::new(), input)?;
/// assert_eq!(dlogits.as_f32().unwrap(), [0.0; 4]);
/// # Ok::<(), surprisal::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EntropyBackward {
    unit: Unit,
}

/// The surprisal (self-information) of each class of each row: `-log softmax(logits)[j]`.
///
/// Returns `[rows, classes]` in the logits' dtype (f64 from the reference), in nats unless told.
/// A -inf logit gives +inf; a row that is -inf throughout or holds +inf or NaN gives a row of NaN.
///
/// ```
/// use surprisal::{Device, Matrix, Surprisal, Unit};
///
/// let surprisal = Surprisal::new().with_unit(Unit::Bits);
/// let bits = Device::cpu().run(&surprisal, Matrix::new(&[0.0f32, 0.0], 1, 2)?)?;
/// assert_eq!(bits.as_f32().unwrap(), [1.0, 1.0]);
/// # Ok::<(), surprisal::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Surprisal {
    unit: Unit,
}

macro_rules! with_unit {
    ($($op:ident),*) => {$(
        impl $op {
            /// In nats.
            pub fn new() -> Self {
                Self::default()
            }

            /// Sets the unit.
            #[must_use]
            pub fn with_unit(mut self, unit: Unit) -> Self {
                self.unit = unit;
                self
            }

            /// The unit.
            pub fn unit(&self) -> Unit {
                self.unit
            }
        }
    )*};
}
with_unit!(Entropy, EntropyBackward, Surprisal);

transform!(Entropy, LogitsInput, |op| op.unit, |input| input.data());
transform!(Surprisal, LogitsInput, |op| op.unit, |input| input.data());
transform!(EntropyBackward, EntropyBackwardInput, |op| op.unit, |i| Data {
    upstream: Upstream::Each(i.dentropy),
    mask: i.mask,
    ..Data::of(i.logits)
});
