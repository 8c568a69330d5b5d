//! What is computed: each operation as plain data, with its formula, its inputs and their
//! validation. Nothing here knows where it will run.

mod cross_entropy;
mod cross_entropy_data;
mod transform;

pub use cross_entropy::CrossEntropy;
pub use cross_entropy_data::{CrossEntropyInput, CrossEntropyOutput, Loss, Targets};
pub use transform::{
    LogSoftmax, LogSoftmaxBackward, LogSoftmaxBackwardInput, LogSumExp, LogSumExpBackward,
    LogSumExpBackwardInput, Softmax, SoftmaxBackward, SoftmaxBackwardInput,
};
pub(crate) use transform::{Transform, TransformInput, TransformOp};

use crate::matrix::Values;

pub(crate) mod sealed {
    pub trait Sealed {}
}

/// An operation: something that [`Device::run`](crate::Device::run) evaluates.
///
/// The trait is sealed; the operations of this crate are its only implementations.
pub trait Op: sealed::Sealed {
    /// What it reads.
    type Input<'a>: Send;
    /// What it returns.
    type Output: Send;
}

/// How the losses of a batch become the reported loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
pub enum Reduction {
    /// One loss for each row.
    None,
    /// Their sum over the batch's total weight: for unweighted cross-entropy the number of rows
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
    /// One number: the gradient of the reduced loss, or of every row's loss alike.
    Scalar(f64),
    /// One number for each row `[rows]`; for [`Reduction::None`] only.
    Rows(Values<'a>),
}

impl Default for Upstream<'_> {
    /// The gradient of the loss itself.
    fn default() -> Self {
        Self::Scalar(1.0)
    }
}
