//! Each operation on each device.

use crate::cpu::InstructionSet;
#[cfg(feature = "gpu")]
use crate::device::{gpu::OwnedGpu, timings::Timings};
use crate::error::{Error, Result};
use crate::matrix::{Array, Matrix, MatrixMut};
use crate::op::{
    BinaryCrossEntropy, BinaryFocal, CrossEntropy, CrossEntropyOutput, DivergenceOp as _,
    Elementwise, ElementwiseOp as _, Entropy, EntropyBackward, Focal, JsDivergence, KlDivergence,
    Labels, LinearCrossEntropy, LogSoftmax, LogSoftmaxBackward, LogSumExp, LogSumExpBackward,
    LogitsInput, Op, Softmax, SoftmaxBackward, Surprisal, TransformOp as _,
};
use crate::{cpu, reference};

/// What runs on a GPU; on native targets it may move between threads.
#[cfg(all(feature = "gpu", not(target_arch = "wasm32")))]
type GpuFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<(T, Timings)>> + Send + 'a>>;
#[cfg(all(feature = "gpu", target_arch = "wasm32"))]
type GpuFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<(T, Timings)>> + 'a>>;

/// An operation that [`Device::run`](crate::Device::run) can evaluate: all of this crate's.
pub trait Evaluate: Op + Sync {
    #[doc(hidden)]
    fn on_reference(&self, input: Self::Input<'_>) -> Result<Self::Output>;
    #[doc(hidden)]
    fn on_cpu(&self, set: InstructionSet, input: Self::Input<'_>) -> Result<Self::Output>;
    #[cfg(feature = "gpu")]
    #[doc(hidden)]
    fn on_gpu<'a>(
        &'a self,
        gpu: &'a OwnedGpu,
        input: Self::Input<'a>,
    ) -> GpuFuture<'a, Self::Output>;
}

/// `$reference` and the others are calls with the operation, its input and, on a GPU, the device.
macro_rules! evaluate {
    ($($op:ident),*: |$self:ident, $set:ident, $input:ident, $gpu:ident|
     $reference:expr, $cpu:expr, $on_gpu:expr) => {$(
        impl Evaluate for $op {
            fn on_reference(&self, $input: Self::Input<'_>) -> Result<Self::Output> {
                let $self = self;
                $reference
            }

            fn on_cpu(
                &self,
                $set: InstructionSet,
                $input: Self::Input<'_>,
            ) -> Result<Self::Output> {
                let $self = self;
                $cpu
            }

            #[cfg(feature = "gpu")]
            fn on_gpu<'a>(
                &'a self,
                $gpu: &'a OwnedGpu,
                $input: Self::Input<'a>,
            ) -> GpuFuture<'a, Self::Output> {
                let $self = self;
                Box::pin(async move { $on_gpu.await })
            }
        }
    )*};
}

evaluate!(CrossEntropy: |op, set, input, gpu|
    reference::cross_entropy(op, &input),
    cpu::labelled(set, op, &input),
    gpu.cross_entropy(op, &input));
evaluate!(Focal: |op, set, input, gpu|
    reference::focal(op, &input),
    cpu::labelled(set, op, &input),
    gpu.focal(op, &input));
evaluate!(LinearCrossEntropy: |op, set, input, gpu|
    reference::linear_cross_entropy(op, &input),
    cpu::linear_cross_entropy(set, op, &input),
    gpu.linear_cross_entropy(op, &input));
evaluate!(KlDivergence, JsDivergence: |op, set, input, gpu|
    reference::divergence(&op.spec(), &input),
    cpu::divergence(set, &op.spec(), &input),
    gpu.divergence(op, &input));
evaluate!(BinaryCrossEntropy, BinaryFocal, Elementwise: |op, set, input, gpu|
    reference::elementwise_spec(&op.spec()?, &input),
    cpu::elementwise(set, &op.spec()?, &input),
    gpu.elementwise(op, &input));
evaluate!(
    Softmax, LogSoftmax, LogSumExp, SoftmaxBackward, LogSoftmaxBackward, LogSumExpBackward, Entropy,
    EntropyBackward, Surprisal: |op, set, input, gpu|
    reference::transform(Self::TRANSFORM, &op.common(input)),
    cpu::transform(set, Self::TRANSFORM, &op.common(input)),
    gpu.transform(Self::TRANSFORM, &op.common(input)));

/// An operation whose result, or whose gradient, has the shape of a matrix that it reads, and can be
/// written where the caller says: [`Device::run_into`](crate::Device::run_into) and
/// [`Device::run_in_place`](crate::Device::run_in_place).
pub trait EvaluateInto: Evaluate {
    /// What is returned beside that matrix: of a loss all the rest of its output, of a transform
    /// nothing.
    type Beside;
    /// What is read beside the matrix that is written over: of a transform, which rows count.
    type Rest<'a>: Copy;

    /// An error if there will be no matrix.
    #[doc(hidden)]
    fn expect_matrix(&self) -> Result<()> {
        Ok(())
    }
    #[doc(hidden)]
    fn cpu_into(
        &self,
        set: InstructionSet,
        input: Self::Input<'_>,
        out: MatrixMut<'_>,
    ) -> Result<Self::Beside>;
    #[doc(hidden)]
    fn cpu_in_place(
        &self,
        set: InstructionSet,
        matrix: MatrixMut<'_>,
        rest: Self::Rest<'_>,
    ) -> Result<Self::Beside>;
    #[doc(hidden)]
    fn matrix<'a>(input: &Self::Input<'a>) -> Matrix<'a>;
    #[doc(hidden)]
    fn join<'s, 'r: 's>(matrix: Matrix<'s>, rest: Self::Rest<'r>) -> Self::Input<'s>;
    #[doc(hidden)]
    fn apart(output: Self::Output) -> (Array, Self::Beside);
}

macro_rules! evaluate_loss_into {
    ($($op:ident),*) => {$(
        impl EvaluateInto for $op {
            type Beside = CrossEntropyOutput;
            type Rest<'a> = Labels<'a>;

            fn expect_matrix(&self) -> Result<()> {
                if self.has_gradient() {
                    return Ok(());
                }
                let reason = "is for the gradient, which is not asked for".to_owned();
                Err(Error::InvalidInput { what: "output", reason })
            }

            fn cpu_into(
                &self,
                set: InstructionSet,
                input: Self::Input<'_>,
                out: MatrixMut<'_>,
            ) -> Result<Self::Beside> {
                cpu::labelled_into(set, self, &input, out)
            }

            fn cpu_in_place(
                &self,
                set: InstructionSet,
                matrix: MatrixMut<'_>,
                rest: Self::Rest<'_>,
            ) -> Result<Self::Beside> {
                cpu::labelled_in_place(set, self, matrix, rest)
            }

            fn matrix<'a>(input: &Self::Input<'a>) -> Matrix<'a> {
                input.logits
            }

            fn join<'s, 'r: 's>(matrix: Matrix<'s>, rest: Self::Rest<'r>) -> Self::Input<'s> {
                rest.of(matrix)
            }

            fn apart(mut output: Self::Output) -> (Array, Self::Beside) {
                (output.dlogits.take().unwrap_or(Array::F32(Vec::new())), output)
            }
        }
    )*};
}

evaluate_loss_into!(CrossEntropy, Focal);

macro_rules! evaluate_transform_into {
    ($($op:ident),*) => {$(
        impl EvaluateInto for $op {
            type Beside = ();
            type Rest<'a> = Option<&'a [bool]>;

            fn cpu_into(
                &self,
                set: InstructionSet,
                input: Self::Input<'_>,
                out: MatrixMut<'_>,
            ) -> Result<()> {
                cpu::transform_into(set, Self::TRANSFORM, &self.common(input), out)
            }

            fn cpu_in_place(
                &self,
                set: InstructionSet,
                matrix: MatrixMut<'_>,
                mask: Self::Rest<'_>,
            ) -> Result<()> {
                cpu::transform_in_place(set, Self::TRANSFORM, matrix, mask)
            }

            fn matrix<'a>(input: &Self::Input<'a>) -> Matrix<'a> {
                input.logits
            }

            fn join<'s, 'r: 's>(logits: Matrix<'s>, mask: Self::Rest<'r>) -> Self::Input<'s> {
                LogitsInput { mask, ..logits.into() }
            }

            fn apart(output: Self::Output) -> (Array, ()) {
                (output, ())
            }
        }
    )*};
}

evaluate_transform_into!(Softmax, LogSoftmax);
