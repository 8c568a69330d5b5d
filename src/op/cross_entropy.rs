//! Cross-entropy between rows of logits and index targets.

use crate::error::{Error, Result};
use crate::matrix::{Array, Matrix};
use crate::op::{Op, Reduction, Upstream, sealed};

/// Cross-entropy of rows of logits against index targets, with its gradient on request.
///
/// For a kept row with target `y` (formulas (5) and (6) of `docs/NUMERICS.md`):
///
/// ```text
/// loss       = (max - logits[y]) + log1p(rest)          = -log softmax(logits)[y]
/// dlogits[j] = dloss * (softmax(logits)[j] - [j = y])
/// ```
///
/// with `rest`, the sum of `exp(logits[j] - max)` over all columns but one that holds the maximum.
/// The mean divides both by the number of kept rows. A row whose target is
/// [`ignore_index`](Self::ignore_index) is not read: its loss, its log-sum-exp and its gradient
/// are exactly 0.
///
/// **Accuracy.** Neither term of the loss is negative, so nothing cancels: a row whose loss is
/// 6e-9 has all its digits, and adding 1e6 to every logit changes the result only as far as
/// rounding changed the logits. In f32 the loss is good to about 2^-22 relative, plus what
/// rounding `logits - max` and summing the row force; see `docs/NUMERICS.md`.
///
/// **Special values** (the same on every device; see `docs/NUMERICS.md` for what a backend may be
/// unable to promise):
///
/// | row | loss | gradient |
/// |---|---|---|
/// | -inf at a column that is not the target | finite | 0 there |
/// | -inf at the target | +inf | p - onehot |
/// | -inf everywhere, +inf or NaN anywhere | NaN | NaN |
/// | ignored, whatever its logits | 0 | 0 |
/// | no row kept | mean NaN, sum 0 | 0 |
///
/// ```
/// use surprisal::{CrossEntropy, CrossEntropyInput, Device, Matrix};
///
/// let logits = [2.0f32, 1.0, 0.1, 0.3, 0.2, 3.0];
/// let input = CrossEntropyInput::new(Matrix::new(&logits, 2, 3)?, &[0i64, 2]);
/// let output = Device::cpu().run(&CrossEntropy::new().with_gradient(), input)?;
///
/// assert!((output.loss.reduced().unwrap() - 0.268_745).abs() < 1e-6);
/// assert_eq!(output.dlogits.unwrap().len(), 6);
/// # Ok::<(), surprisal::Error>(())
/// ```
///
/// The defaults are PyTorch's:
///
/// ```
/// use surprisal::{CrossEntropy, Reduction};
///
/// let op = CrossEntropy::new();
/// assert_eq!(op.reduction(), Reduction::Mean);
/// assert_eq!(op.ignore_index(), Some(-100));
/// assert!(!op.has_gradient());
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct CrossEntropy {
    reduction: Reduction,
    ignore_index: Option<i64>,
    gradient: bool,
}

impl Default for CrossEntropy {
    fn default() -> Self {
        Self { reduction: Reduction::Mean, ignore_index: Some(-100), gradient: false }
    }
}

impl CrossEntropy {
    /// The mean loss, rows with target -100 ignored, no gradient.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how the rows' losses are reduced.
    #[must_use]
    pub fn with_reduction(mut self, reduction: Reduction) -> Self {
        self.reduction = reduction;
        self
    }

    /// Sets the target value that marks a row to be skipped: any i64, inside or outside the
    /// classes, or `None` to skip no row.
    #[must_use]
    pub fn with_ignore_index(mut self, value: impl Into<Option<i64>>) -> Self {
        self.ignore_index = value.into();
        self
    }

    /// Asks for the gradient with respect to the logits, computed together with the loss.
    #[must_use]
    pub fn with_gradient(mut self) -> Self {
        self.gradient = true;
        self
    }

    /// How the rows' losses are reduced.
    pub fn reduction(&self) -> Reduction {
        self.reduction
    }

    /// The target value that marks a row to be skipped.
    pub fn ignore_index(&self) -> Option<i64> {
        self.ignore_index
    }

    /// Whether the gradient is asked for.
    pub fn has_gradient(&self) -> bool {
        self.gradient
    }

    pub(crate) fn keeps(&self, target: i64) -> bool {
        self.ignore_index != Some(target)
    }

    /// Everything that can be said about an input before any of it is computed.
    pub(crate) fn validate(&self, input: &CrossEntropyInput<'_>) -> Result<()> {
        let (rows, classes) = (input.logits.rows(), input.logits.classes());
        if input.targets.len() != rows {
            return Err(Error::ShapeMismatch {
                what: "targets",
                expected: format!("[{rows}], one for each row of logits {}", input.logits.shape()),
                found: format!("[{}]", input.targets.len()),
            });
        }
        self.validate_upstream(&input.upstream, rows)?;
        for row in 0..rows {
            let value = input.targets.get(row);
            if self.keeps(value) && usize::try_from(value).map_or(true, |y| y >= classes) {
                let (row, classes) = (row as u64, classes as u64);
                return Err(Error::TargetOutOfRange { row, value, classes });
            }
        }
        Ok(())
    }

    fn validate_upstream(&self, upstream: &Upstream<'_>, rows: usize) -> Result<()> {
        let Upstream::Rows(values) = upstream else { return Ok(()) };
        if self.reduction != Reduction::None {
            return Err(Error::InvalidInput {
                what: "upstream",
                reason: format!(
                    "reduction {} has one loss, so its upstream gradient is one number, not {}",
                    self.reduction,
                    values.len()
                ),
            });
        }
        if values.len() != rows {
            return Err(Error::ShapeMismatch {
                what: "upstream",
                expected: format!("[{rows}], one for each row of logits"),
                found: format!("[{}]", values.len()),
            });
        }
        Ok(())
    }
}

impl sealed::Sealed for CrossEntropy {}
impl Op for CrossEntropy {
    type Input<'a> = CrossEntropyInput<'a>;
    type Output = CrossEntropyOutput;
}

/// Index targets `[rows]`.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Targets<'a> {
    /// 32-bit.
    I32(&'a [i32]),
    /// 64-bit.
    I64(&'a [i64]),
}

impl Targets<'_> {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::I32(v) => v.len(),
            Self::I64(v) => v.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn get(&self, row: usize) -> i64 {
        match self {
            Self::I32(v) => i64::from(v[row]),
            Self::I64(v) => v[row],
        }
    }
}

macro_rules! targets_from {
    ($($variant:ident $type:ty),*) => {$(
        impl<'a> From<&'a [$type]> for Targets<'a> {
            fn from(v: &'a [$type]) -> Self {
                Self::$variant(v)
            }
        }
        impl<'a> From<&'a Vec<$type>> for Targets<'a> {
            fn from(v: &'a Vec<$type>) -> Self {
                Self::$variant(v)
            }
        }
        impl<'a, const N: usize> From<&'a [$type; N]> for Targets<'a> {
            fn from(v: &'a [$type; N]) -> Self {
                Self::$variant(v)
            }
        }
    )*};
}
targets_from!(I32 i32, I64 i64);

/// What [`CrossEntropy`] reads.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct CrossEntropyInput<'a> {
    /// `[rows, classes]`.
    pub logits: Matrix<'a>,
    /// `[rows]`, each in `0..classes` or the ignored value.
    pub targets: Targets<'a>,
    /// The gradient from above; 1 unless set.
    pub upstream: Upstream<'a>,
}

impl<'a> CrossEntropyInput<'a> {
    /// Logits and their targets.
    pub fn new(logits: Matrix<'a>, targets: impl Into<Targets<'a>>) -> Self {
        Self { logits, targets: targets.into(), upstream: Upstream::default() }
    }

    /// Sets the gradient from above.
    #[must_use]
    pub fn with_upstream(mut self, upstream: Upstream<'a>) -> Self {
        self.upstream = upstream;
        self
    }
}

/// A loss, reduced or by rows. The values are f32, or f64 from the reference.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Loss {
    /// The mean or the sum.
    Reduced(f64),
    /// One for each row, for [`Reduction::None`].
    Rows(Array),
}

impl Loss {
    /// The reduced loss, if there is one.
    pub fn reduced(&self) -> Option<f64> {
        if let Self::Reduced(loss) = self { Some(*loss) } else { None }
    }

    /// The rows' losses, if they were asked for.
    pub fn rows(&self) -> Option<&Array> {
        if let Self::Rows(rows) = self { Some(rows) } else { None }
    }
}

/// What [`CrossEntropy`] returns.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CrossEntropyOutput {
    /// The loss, in nats.
    pub loss: Loss,
    /// The log-sum-exp of each row `[rows]`; 0 where the row is ignored.
    pub lse: Array,
    /// The gradient `[rows, classes]` with respect to the logits, in the logits' dtype (f64 from
    /// the reference), if it was asked for.
    pub dlogits: Option<Array>,
    /// How many rows were not ignored.
    pub kept_rows: u64,
    /// What a mean divides by.
    pub total_weight: f64,
}

impl CrossEntropyOutput {
    pub(crate) fn new(loss: Loss, lse: Array, dlogits: Option<Array>, kept_rows: u64) -> Self {
        Self { loss, lse, dlogits, kept_rows, total_weight: kept_rows as f64 }
    }
}
