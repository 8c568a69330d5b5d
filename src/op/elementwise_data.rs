//! What the elementwise losses read and return.

use crate::error::Result;
use crate::matrix::{Array, Matrix, with_values};
use crate::op::mask::mask_option;
use crate::op::options::{validate_each, validate_probs};
use crate::op::search::Nan;
use crate::op::{Loss, Upstream};

/// What the elementwise losses read. Any shape: whatever the array's dimensions are, give it as a
/// matrix whose columns are the last of them.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ElementwiseInput<'a> {
    /// `[rows, columns]`.
    pub input: Matrix<'a>,
    /// `[rows, columns]`.
    pub targets: Matrix<'a>,
    /// A factor of each element's loss, `[rows, columns]`; 1 unless set.
    pub weights: Option<Matrix<'a>>,
    /// The gradient from above; 1 unless set.
    pub upstream: Upstream<'a>,
    /// Which elements count, `[rows * columns]`, row after row; all unless set.
    pub mask: Option<&'a [bool]>,
}

mask_option!(ElementwiseInput, "elements");

impl<'a> ElementwiseInput<'a> {
    /// An input and its targets, of the same shape.
    pub fn new(input: Matrix<'a>, targets: Matrix<'a>) -> Self {
        Self { input, targets, weights: None, upstream: Upstream::default(), mask: None }
    }

    /// The label of an element, in row-major order.
    pub(crate) fn label(&self, i: usize) -> f64 {
        with_values!(self.targets.values(), y => crate::dtype::Element::to_f64(y[i]))
    }

    /// Sets a factor for each element's loss.
    #[must_use]
    pub fn with_weights(mut self, weights: impl Into<Option<Matrix<'a>>>) -> Self {
        self.weights = weights.into();
        self
    }

    /// Sets the gradient from above.
    #[must_use]
    pub fn with_upstream(mut self, upstream: Upstream<'a>) -> Self {
        self.upstream = upstream;
        self
    }
}

/// What the elementwise losses return.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ElementwiseOutput {
    /// The loss: of each element, or reduced. A mean divides by the number of elements that count.
    pub loss: Loss,
    /// The gradient `[rows, columns]` with respect to the input, in its dtype (f64 from the
    /// reference), if it was asked for.
    pub dinput: Option<Array>,
}

/// What the targets of a binary loss are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
pub enum BinaryLabels {
    /// 0 and 1, or probabilities between.
    #[default]
    ZeroOne,
    /// -1 and +1.
    PlusMinus,
}

impl BinaryLabels {
    /// `scale y + offset` is the probability that a label stands for.
    pub(crate) fn scale_and_offset(self) -> (f32, f32) {
        match self {
            Self::ZeroOne => (1.0, 0.0),
            Self::PlusMinus => (0.5, 0.5),
        }
    }

    pub(super) fn validate(
        self,
        targets: &Matrix<'_>,
        counts: impl Fn(usize) -> bool + Sync,
    ) -> Result<()> {
        match self {
            Self::ZeroOne => validate_probs("targets", targets, Nan::Refused, counts),
            Self::PlusMinus => validate_signs(targets, counts),
        }
    }
}

/// Fails at the first number that is neither -1 nor +1, of those that count.
pub(super) fn validate_signs(targets: &Matrix<'_>, counts: impl Fn(usize) -> bool) -> Result<()> {
    let fits = |i, y: f64| y.abs() == 1.0 || !counts(i);
    validate_each("targets", targets, fits, "is neither -1 nor +1")
}

/// Some elements as a matrix whose rows are neither long nor short, if their number allows it:
/// elementwise losses do not care for rows.
pub(crate) fn folded(elements: u64) -> (u64, u64) {
    let divides = |columns: &u64| elements.is_multiple_of(*columns);
    // Rows of whole words first.
    let by_four = (8..=512).rev().map(|words| 4 * words).find(divides);
    let columns = by_four.or_else(|| (1..=2048).rev().find(divides)).unwrap_or(1);
    (elements / columns, columns)
}

#[cfg(test)]
mod tests {
    use super::folded;

    #[test]
    fn rows_are_neither_long_nor_short() {
        assert_eq!(folded(10_000), (5, 2000), "the longest of whole words");
        assert_eq!(folded(4 * 4099), (4 * 4099 / 4, 4), "no whole words: the longest there is");
        assert_eq!(folded(3 * 2039), (3, 2039));
        assert_eq!(folded(77), (1, 77));
        assert_eq!(folded(10_007), (10_007, 1), "a prime");
        assert_eq!(folded(0).0, 0);
    }
}
