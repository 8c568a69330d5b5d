//! Each operation on each device.

#[cfg(feature = "gpu")]
use crate::device::{gpu::OwnedGpu, timings::Timings};
use crate::error::Result;
use crate::op::{
    CrossEntropy, LogSoftmax, LogSoftmaxBackward, LogSumExp, LogSumExpBackward, Op, Softmax,
    SoftmaxBackward, TransformOp,
};
use crate::{cpu, reference};

/// An operation that [`Device::run`](crate::Device::run) can evaluate: all of this crate's.
pub trait Evaluate: Op + Sync {
    #[doc(hidden)]
    fn on_reference(&self, input: Self::Input<'_>) -> Result<Self::Output>;
    #[doc(hidden)]
    fn on_cpu(&self, input: Self::Input<'_>) -> Result<Self::Output>;
    #[cfg(feature = "gpu")]
    #[doc(hidden)]
    fn on_gpu(
        &self,
        gpu: &OwnedGpu,
        input: Self::Input<'_>,
        timings: &mut Timings,
    ) -> impl Future<Output = Result<Self::Output>>;
}

impl Evaluate for CrossEntropy {
    fn on_reference(&self, input: Self::Input<'_>) -> Result<Self::Output> {
        reference::cross_entropy(self, &input)
    }

    fn on_cpu(&self, input: Self::Input<'_>) -> Result<Self::Output> {
        cpu::cross_entropy(self, &input)
    }

    #[cfg(feature = "gpu")]
    async fn on_gpu(
        &self,
        gpu: &OwnedGpu,
        input: Self::Input<'_>,
        timings: &mut Timings,
    ) -> Result<Self::Output> {
        gpu.cross_entropy(self, &input, timings).await
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
    async fn on_gpu(
                &self,
                gpu: &OwnedGpu,
                input: Self::Input<'_>,
                timings: &mut Timings,
            ) -> Result<Self::Output> {
                gpu.transform(Self::TRANSFORM, &Self::common(input), timings).await
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
