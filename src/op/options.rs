//! What several operations share: reductions, upstream gradients, units, forms of input.

use crate::error::{Error, Result};
use crate::matrix::{Array, Matrix, Values, with_values};
use crate::op::search::{Nan, no_probability};

/// How the losses of a batch become the reported loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
pub enum Reduction {
    /// One loss for each row; of the elementwise losses, one for each element.
    None,
    /// Their sum over what each operation says: for unweighted cross-entropy the number of rows
    /// that are not ignored, as in PyTorch. NaN if there are none.
    #[default]
    Mean,
    /// Their sum; 0 if there are none.
    Sum,
}

impl std::fmt::Display for Reduction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Mean => "mean",
            Self::Sum => "sum",
        })
    }
}

/// The gradient that arrives from above, with respect to the reported loss.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Upstream<'a> {
    /// One number: the gradient of the reduced loss, or of every loss alike. One that is finite, and not as f32,
    /// is an error.
    Scalar(f64),
    /// One number for each loss, a row's or an element's; for [`Reduction::None`] only.
    Each(Values<'a>),
}

impl Default for Upstream<'_> {
    /// The gradient of the loss itself.
    fn default() -> Self {
        Self::Scalar(1.0)
    }
}

impl Upstream<'_> {
    /// Fails unless there is one number, or one for each of `losses`, which are rows or elements.
    pub(crate) fn validate(&self, reduction: Reduction, losses: usize, what: &str) -> Result<()> {
        let values = match self {
            // What is infinite on purpose passes.
            Self::Scalar(dloss) if dloss.is_finite() => {
                return validate_number("upstream", *dloss, Range::Finite);
            }
            Self::Scalar(_) => return Ok(()),
            Self::Each(values) => values,
        };
        if reduction != Reduction::None {
            return Err(Error::InvalidInput {
                what: "upstream",
                reason: format!(
                    "reduction {reduction} has one loss, so its upstream gradient is one number, \
                     not {}",
                    values.len()
                ),
            });
        }
        if values.len() != losses {
            return Err(Error::ShapeMismatch {
                what: "upstream",
                expected: format!("[{losses}], one for each {what}"),
                found: format!("[{}]", values.len()),
            });
        }
        Ok(())
    }
}

/// What information is measured in. Scales losses, entropies and their gradients alike; a
/// log-sum-exp stays in nats.
///
/// ```
/// use surprisal::{CrossEntropy, CrossEntropyInput, Device, Matrix, Unit};
///
/// // One of four equally likely classes: two bits.
/// let input = CrossEntropyInput::new(Matrix::new(&[0.0f32; 4], 1, 4)?, &[2i64]);
/// let output = Device::cpu().run(&CrossEntropy::new().with_unit(Unit::Bits), input)?;
/// assert!((output.loss.reduced().unwrap() - 2.0).abs() < 1e-6);
/// # Ok::<(), surprisal::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
pub enum Unit {
    /// Natural logarithms.
    #[default]
    Nats,
    /// Logarithms to base 2; also called shannons.
    Bits,
    /// Logarithms to base 10; also called bans or dits.
    Hartleys,
}

impl Unit {
    /// How many of this unit are one nat.
    pub fn per_nat(self) -> f64 {
        match self {
            Self::Nats => 1.0,
            Self::Bits => std::f64::consts::LOG2_E,
            Self::Hartleys => std::f64::consts::LOG10_E,
        }
    }
}

impl std::fmt::Display for Unit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Nats => "nats",
            Self::Bits => "bits",
            Self::Hartleys => "hartleys",
        })
    }
}

/// What the numbers of a matrix are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
pub enum InputForm {
    /// Scores that a softmax (or a sigmoid) turns into probabilities.
    #[default]
    Logits,
    /// Logarithms of probabilities, as [`LogSoftmax`](crate::LogSoftmax) makes them. Whether they
    /// are normalised is not checked; a divergence refuses a teacher's that are above 0.
    LogProbs,
    /// Probabilities. A number outside [0, 1], or NaN, is an error where the host sees them; whether they
    /// sum to 1 is not checked.
    Probs,
}

impl std::fmt::Display for InputForm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Logits => "logits",
            Self::LogProbs => "log-probs",
            Self::Probs => "probs",
        })
    }
}

/// A loss, reduced or not. The values are f32, or f64 from the reference.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Loss {
    /// The mean or the sum.
    Reduced(f64),
    /// One for each row, or for each element, for [`Reduction::None`].
    Each(Array),
}

impl Loss {
    /// The reduced loss, if there is one.
    pub fn reduced(&self) -> Option<f64> {
        if let Self::Reduced(loss) = self { Some(*loss) } else { None }
    }

    /// The losses of rows or elements, if they were asked for.
    pub fn each(&self) -> Option<&Array> {
        if let Self::Each(losses) = self { Some(losses) } else { None }
    }
}

/// What a scale of logits multiplies them by, and what distances between the products are multiplied
/// by: a logit times more than 1 may overflow where its loss does not.
pub(crate) fn split_scale(scale: f64) -> (f64, f64) {
    if scale.abs() > 1.0 { (scale.signum(), scale.abs()) } else { (scale, 1.0) }
}

/// The options that every loss has.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Common {
    pub(crate) reduction: Reduction,
    pub(crate) gradient: bool,
    pub(crate) unit: Unit,
    pub(crate) normalizer: Option<f64>,
}

impl Common {
    /// What a mean divides by: the normalizer, or else what the batch comes to.
    pub(crate) fn divisor(&self, of_batch: f64) -> f64 {
        self.normalizer.unwrap_or(of_batch)
    }

    pub(crate) fn validate(&self) -> Result<()> {
        let Some(n) = self.normalizer else { return Ok(()) };
        validate_number("normalizer", n, Range::Positive)?;
        if self.reduction == Reduction::Mean {
            return Ok(());
        }
        let reason = format!("{n} divides a mean; reduction {} has none", self.reduction);
        Err(Error::InvalidInput { what: "normalizer", reason })
    }
}

/// The builder's methods for [`Common`]: `$wrt` is what the gradient is with respect to.
macro_rules! common_options {
    ($type:ty, $wrt:literal) => {
        impl $type {
            /// Sets how the losses are reduced.
            #[must_use]
            pub fn with_reduction(mut self, reduction: $crate::op::Reduction) -> Self {
                self.common.reduction = reduction;
                self
            }

            #[doc = concat!("Asks for the gradient with respect to the ", $wrt, ", computed together with the loss.")]
            #[must_use]
            pub fn with_gradient(mut self) -> Self {
                self.common.gradient = true;
                self
            }

            /// Sets what a mean divides by, instead of what the batch itself comes to: for a batch that
            /// is computed in parts.
            #[must_use]
            #[doc(alias = "num_items_in_batch")]
            pub fn with_normalizer(mut self, normalizer: impl Into<Option<f64>>) -> Self {
                self.common.normalizer = normalizer.into();
                self
            }

            /// How the losses are reduced.
            pub fn reduction(&self) -> $crate::op::Reduction {
                self.common.reduction
            }

            /// What a mean divides by, if it was given.
            pub fn normalizer(&self) -> Option<f64> {
                self.common.normalizer
            }

            /// Whether the gradient is asked for.
            pub fn has_gradient(&self) -> bool {
                self.common.gradient
            }
        }
    };
}
pub(crate) use common_options;

/// The builder's methods for the unit of a loss that is information.
macro_rules! unit_option {
    ($type:ty) => {
        impl $type {
            /// Sets the unit of the loss; nats unless set.
            #[must_use]
            pub fn with_unit(mut self, unit: $crate::op::Unit) -> Self {
                self.common.unit = unit;
                self
            }

            /// The unit of the loss.
            pub fn unit(&self) -> $crate::op::Unit {
                self.common.unit
            }
        }
    };
}
pub(crate) use unit_option;

/// Fails at the first number that does not fit, told by its place and its value, and says what it is
/// not.
pub(crate) fn validate_each(
    what: &'static str,
    matrix: &Matrix<'_>,
    fits: impl Fn(usize, f64) -> bool,
    is_not: &str,
) -> Result<()> {
    let bad = with_values!(matrix.values(), v => v
        .iter()
        .map(|&x| crate::dtype::Element::to_f64(x))
        .enumerate()
        .position(|(i, x)| !fits(i, x)));
    bad.map_or(Ok(()), |i| Err(misfit(what, matrix, i, is_not)))
}

/// That an element does not fit.
fn misfit(what: &'static str, matrix: &Matrix<'_>, i: usize, is_not: &str) -> Error {
    let value = with_values!(matrix.values(), v => crate::dtype::Element::to_f64(v[i]));
    let (row, column) = matrix.row_and_column(i);
    // In as many digits as the matrix has.
    let short = value as f32;
    let shown = if f64::from(short) == value { short.to_string() } else { value.to_string() };
    Error::InvalidInput { what, reason: format!("{shown} of row {row}, column {column} {is_not}") }
}

/// Fails at the first number that is no probability, of those that count, told by their places: the one
/// check of every matrix of probabilities that the host sees.
pub(crate) fn validate_probs(
    what: &'static str,
    matrix: &Matrix<'_>,
    nan: Nan,
    counts: impl Fn(usize) -> bool + Sync,
) -> Result<()> {
    let is_not = "is no probability: it is not in [0, 1]";
    let bad = no_probability(matrix, nan, counts);
    bad.map_or(Ok(()), |i| Err(misfit(what, matrix, i, is_not)))
}

/// Fails at the first number that is no logarithm of a probability, of those that count.
pub(crate) fn validate_log_probs(
    what: &'static str,
    matrix: &Matrix<'_>,
    counts: impl Fn(usize) -> bool,
) -> Result<()> {
    let reason = "is no logarithm of a probability: it is not 0 or less";
    validate_each(what, matrix, |i, log_p| log_p <= 0.0 || !counts(i), reason)
}

/// Fails unless there is a weight for each class.
pub(crate) fn validate_weights(
    what: &'static str,
    weights: Option<&[f64]>,
    classes: u64,
) -> Result<()> {
    let Some(weights) = weights else { return Ok(()) };
    let class = if what == "pos_weight" { "column" } else { "class" };
    if weights.len() as u64 != classes {
        return Err(Error::ShapeMismatch {
            what,
            expected: format!("[{classes}], one for each {class}"),
            found: format!("[{}]", weights.len()),
        });
    }
    match weights.iter().position(|weight| !(*weight as f32).is_finite()) {
        Some(index) => Err(Error::InvalidInput {
            what,
            reason: format!("{:e} of {class} {index} is not finite as f32", weights[index]),
        }),
        None => Ok(()),
    }
}

/// Fails unless a number is in a range, as f32 too.
pub(crate) fn validate_number(what: &'static str, value: f64, range: Range) -> Result<()> {
    let as_f32 = value as f32;
    let (fits, reason) = match range {
        Range::Finite => (as_f32.is_finite(), "is not finite as f32"),
        // What f32 cannot tell from 0 or from infinity would mean something else on most devices.
        Range::Positive => (
            value.is_sign_positive() && as_f32.is_normal(),
            "is not a positive number that f32 can hold",
        ),
        Range::NotNegative => {
            (value >= 0.0 && as_f32.is_finite(), "is not a number from 0 up that f32 can hold")
        }
        Range::Unit => ((0.0..=1.0).contains(&value), "is not in [0, 1]"),
    };
    if fits {
        return Ok(());
    }
    // A number of 300 digits is not read.
    let is_plain = value == 0.0 || (1e-5..1e9).contains(&value.abs()) || !value.is_finite();
    let shown = if is_plain { format!("{value}") } else { format!("{value:e}") };
    Err(Error::InvalidInput { what, reason: format!("{shown} {reason}") })
}

/// What [`validate_number`] asks of a number.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Range {
    Finite,
    Positive,
    NotNegative,
    Unit,
}
