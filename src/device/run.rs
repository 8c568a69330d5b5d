//! Each operation on each device.

#[cfg(feature = "gpu")]
use crate::device::{gpu::OwnedGpu, timings::Timings};
use crate::error::Result;
use crate::op::{
    BinaryCrossEntropy, BinaryFocal, CrossEntropy, DivergenceOp as _, Elementwise,
    ElementwiseOp as _, Entropy, EntropyBackward, Focal, JsDivergence, KlDivergence, LogSoftmax,
    LogSoftmaxBackward, LogSumExp, LogSumExpBackward, Op, Softmax, SoftmaxBackward, Surprisal,
    TransformOp as _,
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
    fn on_cpu(&self, input: Self::Input<'_>) -> Result<Self::Output>;
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
    ($($op:ident),*: |$self:ident, $input:ident, $gpu:ident|
     $reference:expr, $cpu:expr, $on_gpu:expr) => {$(
        impl Evaluate for $op {
            fn on_reference(&self, $input: Self::Input<'_>) -> Result<Self::Output> {
                let $self = self;
                $reference
            }

            fn on_cpu(&self, $input: Self::Input<'_>) -> Result<Self::Output> {
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

evaluate!(CrossEntropy: |op, input, gpu|
    reference::cross_entropy(op, &input),
    cpu::cross_entropy(op, &input),
    gpu.cross_entropy(op, &input));
evaluate!(Focal: |op, input, gpu|
    reference::focal(op, &input),
    cpu::focal(op, &input),
    gpu.focal(op, &input));
evaluate!(KlDivergence, JsDivergence: |op, input, gpu|
    reference::divergence(&op.spec(), &input),
    cpu::divergence(&op.spec(), &input),
    gpu.divergence(op, &input));
evaluate!(BinaryCrossEntropy, BinaryFocal, Elementwise: |op, input, gpu|
    reference::elementwise_spec(&op.spec()?, &input),
    cpu::elementwise(&op.spec()?, &input),
    gpu.elementwise(op, &input));
evaluate!(
    Softmax, LogSoftmax, LogSumExp, SoftmaxBackward, LogSoftmaxBackward, LogSumExpBackward, Entropy,
    EntropyBackward, Surprisal: |op, input, gpu|
    reference::transform(Self::TRANSFORM, &op.common(input)),
    cpu::transform(Self::TRANSFORM, &op.common(input)),
    gpu.transform(Self::TRANSFORM, &op.common(input)));
