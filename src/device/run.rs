//! Each operation on each device.

#[cfg(feature = "gpu")]
use crate::device::stream;
use crate::device::{Device, Inner, Timings};
use crate::error::{Error, Result};
use crate::matrix::{Matrix, MatrixMut};
use crate::op::{
    CrossEntropy, CrossEntropyOutput, Data, Focal, Kind, Labels, LogSoftmax, LogitsInput, Op,
    Results, Softmax,
};
use crate::{cpu, reference};

/// An operation whose result, or whose gradient, has the shape of a matrix that it reads, and can be
/// written where the caller says: [`Device::run_into`](crate::Device::run_into) and
/// [`Device::run_in_place`](crate::Device::run_in_place).
pub trait EvaluateInto: Op {
    /// What is returned beside that matrix: of a loss all the rest of its output, of a transform
    /// nothing.
    type Beside;
    /// What is read beside the matrix that is written over: of a transform, which rows count.
    type Rest<'a>: Copy;

    #[doc(hidden)]
    fn join<'s, 'r: 's>(matrix: Matrix<'s>, rest: Self::Rest<'r>) -> Self::Input<'s>;
    #[doc(hidden)]
    fn beside(results: Results) -> Self::Beside;
}

macro_rules! loss_into {
    ($($op:ident),*) => {$(
        impl EvaluateInto for $op {
            type Beside = CrossEntropyOutput;
            type Rest<'a> = Labels<'a>;

            fn join<'s, 'r: 's>(matrix: Matrix<'s>, rest: Self::Rest<'r>) -> Self::Input<'s> {
                rest.of(matrix)
            }

            fn beside(results: Results) -> Self::Beside {
                results.into_labelled()
            }
        }
    )*};
}
loss_into!(CrossEntropy, Focal);

macro_rules! transform_into {
    ($($op:ident),*) => {$(
        impl EvaluateInto for $op {
            type Beside = ();
            type Rest<'a> = Option<&'a [bool]>;

            fn join<'s, 'r: 's>(logits: Matrix<'s>, mask: Self::Rest<'r>) -> Self::Input<'s> {
                LogitsInput { mask, ..logits.into() }
            }

            fn beside(_: Results) {}
        }
    )*};
}
transform_into!(Softmax, LogSoftmax);

/// Fails if there will be no matrix.
fn expect_matrix(kind: &Kind<'_>) -> Result<()> {
    if kind.output().has_matrix() {
        return Ok(());
    }
    let reason = "is for the gradient, which is not asked for".to_owned();
    Err(Error::InvalidInput { what: "output", reason })
}

impl Device {
    #[cfg_attr(not(feature = "gpu"), expect(clippy::unused_async, reason = "a GPU is awaited"))]
    pub(super) async fn execute(
        &self,
        kind: &Kind<'_>,
        data: &Data<'_>,
    ) -> Result<(Results, Timings)> {
        let mut timings = Timings::default();
        let results = match &self.inner {
            #[cfg(feature = "gpu")]
            Inner::Gpu(gpu) => return stream::execute(gpu, kind, data).await,
            Inner::Cpu(set) => timings.compute(|| cpu::execute(*set, kind, data))?,
            Inner::Reference => timings.compute(|| reference::execute(kind, data))?,
        };
        Ok((results, timings))
    }

    pub(super) async fn execute_into(
        &self,
        kind: &Kind<'_>,
        data: &Data<'_>,
        mut out: MatrixMut<'_>,
    ) -> Result<Results> {
        out.expect_fits(&data.input)?;
        expect_matrix(kind)?;
        if let Inner::Cpu(set) = self.inner {
            return cpu::execute_into(set, kind, data, out);
        }
        let (results, _) = self.execute(kind, data).await?;
        Ok(results.with_matrix_in(&mut out))
    }

    /// `data` is what is read beside the matrix.
    pub(super) async fn execute_in_place(
        &self,
        kind: &Kind<'_>,
        mut matrix: MatrixMut<'_>,
        data: &Data<'_>,
    ) -> Result<Results> {
        expect_matrix(kind)?;
        if let Inner::Cpu(set) = self.inner {
            return cpu::execute_in_place(set, kind, matrix, data);
        }
        let data = Data { input: matrix.as_matrix(), ..*data };
        let (results, _) = self.execute(kind, &data).await?;
        Ok(results.with_matrix_in(&mut matrix))
    }
}
