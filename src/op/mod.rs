//! What is computed: each operation as plain data, with its formula, its inputs and their
//! validation. Nothing here knows where it will run.

use crate::error::Result;

mod cross_entropy;
mod cross_entropy_check;
mod cross_entropy_data;
mod divergence;
mod elementwise;
mod elementwise_data;
mod focal;
mod kept_rows;
mod linear;
pub(crate) mod lowered;
pub(crate) mod mask;
mod options;
mod row_targets;
mod search;
mod transform;

pub use cross_entropy::CrossEntropy;
pub use cross_entropy_data::{
    BatchTargets, CrossEntropyInput, CrossEntropyOutput, Labels, Metrics, Targets,
};
pub use divergence::{DivergenceInput, DivergenceOutput, JsDivergence, KlDivergence};
pub(crate) use divergence::{DivergenceKind, DivergenceSpec, Mixture};
pub use elementwise::{BinaryCrossEntropy, BinaryFocal, Elementwise, ElementwiseLoss, PosWeight};
pub(crate) use elementwise::{ElementKind, ElementwiseSpec};
pub(crate) use elementwise_data::folded;
pub use elementwise_data::{BinaryLabels, ElementwiseInput, ElementwiseOutput};
pub use focal::Focal;
pub(crate) use kept_rows::{KeptLabels, KeptRows, gather, together, upstream_of_rows};
pub use linear::{LinearCrossEntropy, LinearCrossEntropyInput, LinearCrossEntropyOutput};
pub(crate) use lowered::{Data, Kind, Operation, OutputKind, Results};
pub(crate) use mask::{counts, kept};
pub(crate) use options::{Common, split_scale};
pub use options::{InputForm, Loss, Reduction, Unit, Upstream};
pub(crate) use row_targets::RowTargets;
pub(crate) use search::are_plain_probs;
pub(crate) use transform::Transform;
pub use transform::{
    Entropy, EntropyBackward, EntropyBackwardInput, LogSoftmax, LogSoftmaxBackward,
    LogSoftmaxBackwardInput, LogSumExp, LogSumExpBackward, LogSumExpBackwardInput, LogitsInput,
    Softmax, SoftmaxBackward, SoftmaxBackwardInput, Surprisal,
};

pub(crate) mod sealed {
    pub trait Sealed {}
}

/// An operation: something that [`Device::run`](crate::Device::run) evaluates.
///
/// The trait is sealed; the operations of this crate are its only implementations.
pub trait Op: sealed::Sealed + Sync {
    /// What it reads.
    type Input<'a>: Copy + Send;
    /// What it returns.
    type Output: Send;

    /// Which operation it is, or why there is none with these options.
    #[doc(hidden)]
    fn operation(&self) -> Result<Operation<'_>>;
    #[doc(hidden)]
    fn data(input: Self::Input<'_>) -> Data<'_>;
    #[doc(hidden)]
    fn raise(results: Results) -> Self::Output;
}
