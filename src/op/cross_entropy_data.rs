//! What cross-entropy reads and returns.

use crate::matrix::{Array, Matrix};
use crate::op::mask::mask_option;
use crate::op::{Data, Loss, Upstream};

/// Targets: a class index for each row, or a probability for each class of each row.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Targets<'a> {
    /// Class indices `[rows]`, 32-bit.
    I32(&'a [i32]),
    /// Class indices `[rows]`, 64-bit.
    I64(&'a [i64]),
    /// Probabilities `[rows, classes]`: soft or one-hot labels, each in [0, 1] or NaN.
    Probs(Matrix<'a>),
}

impl<'a> Targets<'a> {
    /// How many rows they are for.
    pub fn len(&self) -> usize {
        match self {
            Self::I32(v) => v.len(),
            Self::I64(v) => v.len(),
            Self::Probs(matrix) => matrix.rows(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The probabilities, if these are some.
    pub(crate) fn probs(&self) -> Option<Matrix<'a>> {
        if let Self::Probs(matrix) = self { Some(*matrix) } else { None }
    }

    /// Whether these are probabilities that come with the windows of a batch.
    pub(crate) fn are_in_windows(&self) -> bool {
        self.probs().is_some_and(|probs| probs.columns() == 0)
    }

    /// The index target of a row; -1 where there are none.
    pub(crate) fn index(&self, row: usize) -> i64 {
        match self {
            Self::I32(v) => i64::from(v[row]),
            Self::I64(v) => v[row],
            Self::Probs(_) => -1,
        }
    }

    /// How many class indices are so.
    pub(crate) fn count(&self, is_so: impl Fn(i64) -> bool) -> usize {
        match self {
            Self::I32(v) => v.iter().filter(|&&index| is_so(i64::from(index))).count(),
            Self::I64(v) => v.iter().filter(|&&index| is_so(index)).count(),
            Self::Probs(_) => 0,
        }
    }

    /// The first row whose class index is so.
    pub(crate) fn position(&self, is_so: impl Fn(i64) -> bool) -> Option<usize> {
        match self {
            Self::I32(v) => v.iter().position(|&index| is_so(i64::from(index))),
            Self::I64(v) => v.iter().position(|&index| is_so(index)),
            Self::Probs(_) => None,
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

impl<'a> From<Matrix<'a>> for Targets<'a> {
    fn from(probs: Matrix<'a>) -> Self {
        Self::Probs(probs)
    }
}

/// The targets of a batch whose rows come in windows, which may come as they are, and which rows count.
///
/// ```
/// use surprisal::{BatchTargets, CrossEntropy, Device, LinearCrossEntropy, Matrix, Upstream};
///
/// let weight = Matrix::new(&[1.0f32, -1.0], 2, 1)?;
/// let (op, device) = (LinearCrossEntropy::new(CrossEntropy::new()), Device::cpu());
/// let targets = BatchTargets::new(&[0i64, 7]).with_mask(&[true, false]);
/// let mut stream = device.stream_linear(&op, weight, None, targets)?;
/// stream.push(Matrix::new(&[0.0f32, f32::NAN], 2, 1)?, Upstream::default())?;
/// assert_eq!(stream.finish()?.total.kept_rows, 1);
/// # Ok::<(), surprisal::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct BatchTargets<'a> {
    /// Of all rows; of those whose probabilities come with the windows, a matrix without columns.
    pub targets: Targets<'a>,
    /// Which rows count, `[rows]`; all unless set.
    pub mask: Option<&'a [bool]>,
}

mask_option!(BatchTargets, "rows");

impl<'a> BatchTargets<'a> {
    /// Targets, all of whose rows count.
    pub fn new(targets: impl Into<Targets<'a>>) -> Self {
        Self { targets: targets.into(), mask: None }
    }

    /// Probabilities of so many rows, all of which count. They are not here: each window brings its own
    /// to [`LinearStream::push_with_probs`](crate::stream::LinearStream::push_with_probs).
    ///
    /// ```
    /// use surprisal::{BatchTargets, CrossEntropy, Device, LinearCrossEntropy, Matrix, Upstream};
    ///
    /// let weight = Matrix::new(&[1.0f32, -1.0], 2, 1)?;
    /// let (op, device) = (LinearCrossEntropy::new(CrossEntropy::new()), Device::cpu());
    /// let targets = BatchTargets::probs_in_windows(2);
    /// let mut stream = device.stream_linear(&op, weight, None, targets)?;
    /// for (x, probs) in [([0.0f32], [0.5f32, 0.5]), ([1.0], [1.0, 0.0])] {
    ///     let (x, probs) = (Matrix::new(&x, 1, 1)?, Matrix::new(&probs, 1, 2)?);
    ///     stream.push_with_probs(x, probs, Upstream::default())?;
    /// }
    /// // log 2, and log(1 + exp(-2)).
    /// let loss = stream.finish()?.total.loss.unwrap();
    /// assert!((loss - (0.693_147 + 0.126_928) / 2.0).abs() < 1e-6);
    /// # Ok::<(), surprisal::Error>(())
    /// ```
    pub fn probs_in_windows(rows: usize) -> Self {
        Self::new(Matrix::without_columns(rows))
    }
}

impl<'a, T: Into<Targets<'a>>> From<T> for BatchTargets<'a> {
    fn from(targets: T) -> Self {
        Self::new(targets)
    }
}

/// What [`CrossEntropy`](crate::CrossEntropy) and [`Focal`](crate::Focal) read beside the logits, when
/// these are written over.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Labels<'a> {
    /// `[rows]`.
    pub targets: Targets<'a>,
    /// The gradient from above; 1 unless set.
    pub upstream: Upstream<'a>,
    /// Which rows count, `[rows]`; all unless set.
    pub mask: Option<&'a [bool]>,
}

mask_option!(Labels, "rows");

impl<'a> Labels<'a> {
    /// The targets.
    pub fn new(targets: impl Into<Targets<'a>>) -> Self {
        Self { targets: targets.into(), upstream: Upstream::default(), mask: None }
    }

    /// Sets the gradient from above.
    #[must_use]
    pub fn with_upstream(mut self, upstream: Upstream<'a>) -> Self {
        self.upstream = upstream;
        self
    }

    /// With the logits that they label.
    pub(crate) fn of<'s>(self, logits: Matrix<'s>) -> CrossEntropyInput<'s>
    where
        'a: 's,
    {
        let Self { targets, upstream, mask } = self;
        CrossEntropyInput { logits, targets, upstream, mask }
    }
}

/// What [`CrossEntropy`](crate::CrossEntropy) reads.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct CrossEntropyInput<'a> {
    /// `[rows, classes]`.
    pub logits: Matrix<'a>,
    /// `[rows]` class indices, each in `0..classes` or the ignored value, or `[rows, classes]`
    /// probabilities.
    pub targets: Targets<'a>,
    /// The gradient from above; 1 unless set.
    pub upstream: Upstream<'a>,
    /// Which rows count, `[rows]`; all unless set.
    pub mask: Option<&'a [bool]>,
}

mask_option!(CrossEntropyInput, "rows");

impl<'a> CrossEntropyInput<'a> {
    /// Logits and their targets.
    pub fn new(logits: Matrix<'a>, targets: impl Into<Targets<'a>>) -> Self {
        Self { logits, targets: targets.into(), upstream: Upstream::default(), mask: None }
    }

    /// Sets the gradient from above.
    #[must_use]
    pub fn with_upstream(mut self, upstream: Upstream<'a>) -> Self {
        self.upstream = upstream;
        self
    }
}

impl<'a> CrossEntropyInput<'a> {
    pub(crate) fn data(self) -> Data<'a> {
        let Self { logits, targets, upstream, mask } = self;
        Data { upstream, mask, ..Data::of(logits).with_targets(targets) }
    }
}

/// How well a batch is predicted.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Metrics {
    /// The column that each row finds most probable, the first of them on ties: that of the largest
    /// input (with a negative `logit_scale` the smallest); -1 where the row is
    /// ignored. NaN is passed over; a row of nothing but -inf and NaN has its first column.
    pub argmax: Vec<i64>,
    /// Kept rows whose `argmax` is the target, or that of the target's probabilities.
    pub correct: u64,
    /// `correct` over the number of kept rows; NaN if there are none.
    pub accuracy: f64,
    /// exp of the mean over kept rows of `-log p` of the target, in nats: without weights, without
    /// smoothing and without z-loss. NaN if there are none.
    pub perplexity: f64,
    /// The sum that the perplexity is made of.
    pub(crate) nll: f64,
}

impl Metrics {
    /// A column as `argmax` holds it.
    pub(crate) fn column(j: usize) -> i64 {
        i64::try_from(j).unwrap_or(i64::MAX)
    }

    /// From the sum of the rows' `-log p`, and how many rows there are to it.
    pub(crate) fn new(argmax: Vec<i64>, correct: u64, nll: f64, kept_rows: u64) -> Self {
        let kept = kept_rows as f64;
        let (accuracy, perplexity) = (correct as f64 / kept, (nll / kept).exp());
        Self { argmax, correct, accuracy, perplexity, nll }
    }

    /// Without the rows' best columns.
    #[cfg(feature = "gpu")]
    pub(crate) fn without_columns(self) -> Self {
        Self { argmax: Vec::new(), ..self }
    }
}

/// What [`CrossEntropy`](crate::CrossEntropy) returns.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CrossEntropyOutput {
    /// The loss.
    pub loss: Loss,
    /// The log-sum-exp of each row `[rows]`, in nats; 0 where the row is ignored or the input
    /// normalised already.
    pub lse: Array,
    /// The gradient `[rows, classes]` with respect to the logits, in the logits' dtype (f64 from
    /// the reference), if it was asked for.
    pub dlogits: Option<Array>,
    /// The gradient `[rows, classes]` with respect to probability targets, in their dtype (f64 from
    /// the reference), if it was asked for.
    pub dtargets: Option<Array>,
    /// Accuracy and perplexity, if they were asked for.
    pub metrics: Option<Metrics>,
    /// How many rows count.
    pub kept_rows: u64,
    /// The sum of the kept targets' class weights, or with probability targets the number of kept
    /// rows: what a mean divides by, unless it is told.
    pub total_weight: f64,
}

#[cfg(test)]
#[cfg(feature = "gpu")]
mod tests {
    use super::Metrics;

    #[test]
    fn totals_have_no_columns() {
        let metrics = Metrics::new(vec![3, 1], 1, 0.5, 2);
        let total = metrics.clone().without_columns();
        assert_eq!(total, Metrics { argmax: Vec::new(), ..metrics });
    }
}
