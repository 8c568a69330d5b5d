//! Each operation on each device.

#[cfg(feature = "gpu")]
use crate::device::{gpu::OwnedGpu, timings::Timings};
use crate::error::Result;
use crate::op::{
    CrossEntropy, LogSoftmax, LogSoftmaxBackward, LogSumExp, LogSumExpBackward, Op, Softmax,
    SoftmaxBackward, TransformOp,
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

impl Evaluate for CrossEntropy {
    fn on_reference(&self, input: Self::Input<'_>) -> Result<Self::Output> {
        reference::cross_entropy(self, &input)
    }

    fn on_cpu(&self, input: Self::Input<'_>) -> Result<Self::Output> {
        cpu::cross_entropy(self, &input)
    }

    #[cfg(feature = "gpu")]
    fn on_gpu<'a>(
        &'a self,
        gpu: &'a OwnedGpu,
        input: Self::Input<'a>,
    ) -> GpuFuture<'a, Self::Output> {
        Box::pin(async move { gpu.cross_entropy(self, &input).await })
    }
}

macro_rules! evaluate_transform {
    ($($op:ident),*) => {$(
        impl Evaluate for $op {
            fn on_reference(&self, input: Self::Input<'_>) -> Result<Self::Output> {
                reference::transform(Self::TRANSFORM, &Self::common(input))
            }

            fn on_cpu(&self, input: Self::Input<'_>) -> Result<Self::Output> {
                cpu::transform(Self::TRANSFORM, &Self::common(input))
            }

            #[cfg(feature = "gpu")]
            fn on_gpu<'a>(
                &'a self,
                gpu: &'a OwnedGpu,
                input: Self::Input<'a>,
            ) -> GpuFuture<'a, Self::Output> {
                Box::pin(async move {
                    gpu.transform(Self::TRANSFORM, &Self::common(input)).await
                })
            }
        }
    )*};
}

evaluate_transform!(
    Softmax,
    LogSoftmax,
    LogSumExp,
    SoftmaxBackward,
    LogSoftmaxBackward,
    LogSumExpBackward
);
