//! What cross-entropy reads and returns.

use crate::matrix::{Array, Matrix};
use crate::op::Upstream;

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

/// What [`CrossEntropy`](crate::CrossEntropy) reads.
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
    /// One for each row, for [`Reduction::None`](crate::Reduction::None).
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

/// What [`CrossEntropy`](crate::CrossEntropy) returns.
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
    /// The sum of the kept targets' class weights: what a mean divides by, unless it is told.
    pub total_weight: f64,
}

impl CrossEntropyOutput {
    pub(crate) fn new(
        loss: Loss,
        lse: Array,
        dlogits: Option<Array>,
        (kept_rows, total_weight): (u64, f64),
    ) -> Self {
        Self { loss, lse, dlogits, kept_rows, total_weight }
    }
}
