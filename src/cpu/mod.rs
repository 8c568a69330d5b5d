//! The CPU path: rows in parallel, f32 inside, the same row statistic as the shaders under the
//! same names.

#![expect(
    clippy::inline_always,
    reason = "what works on vectors has to be inlined where their instruction set is enabled"
)]

mod columns;
mod cross_entropy;
mod divergence;
mod elementwise;
mod focal;
mod groups;
mod labelled;
mod lanes;
mod linear;
mod math;
mod plain;
mod product;
mod row_stat;
mod rows;
mod short;
mod simd;
mod transform;

pub use row_stat::RowStat;
pub use simd::InstructionSet;

pub(crate) use cross_entropy::{BlockResults, Blocks, Seen};
pub(crate) use linear::{ClassRows, linear_cross_entropy};

use divergence::divergence;
use elementwise::elementwise;
use labelled::{labelled, labelled_in_place, labelled_into};
use transform::{transform, transform_in_place, transform_into};

use crate::error::{Error, Result};
use crate::matrix::{Array, MatrixMut};
use crate::op::{Data, Kind, Loss, Reduction, Results, Transform, Unit, Upstream};

/// Evaluates an operation.
pub(crate) fn execute(set: InstructionSet, kind: &Kind<'_>, data: &Data<'_>) -> Result<Results> {
    Ok(match kind {
        Kind::CrossEntropy(op) => Results::labelled(labelled(set, &**op, &data.labelled())?),
        Kind::Focal(op) => Results::labelled(labelled(set, &**op, &data.labelled())?),
        Kind::LinearCrossEntropy(op) => {
            Results::linear(linear_cross_entropy(set, op, &data.linear())?)
        }
        Kind::Divergence(spec) => Results::divergence(divergence(set, spec, &data.divergence())?),
        Kind::Elementwise(spec) => {
            Results::elementwise(elementwise(set, spec, &data.elementwise())?)
        }
        Kind::Transform(op, unit) => Results::transform(*op, transform(set, (*op, *unit), data)?),
    })
}

/// [`execute`] with the matrix in `out`, which fits.
pub(crate) fn execute_into(
    set: InstructionSet,
    kind: &Kind<'_>,
    data: &Data<'_>,
    mut out: MatrixMut<'_>,
) -> Result<Results> {
    match kind {
        Kind::CrossEntropy(op) => {
            labelled_into(set, &**op, &data.labelled(), out).map(Results::labelled)
        }
        Kind::Focal(op) => labelled_into(set, &**op, &data.labelled(), out).map(Results::labelled),
        Kind::Transform(op, unit) => {
            transform_into(set, (*op, *unit), data, out)?;
            Ok(Results::default())
        }
        Kind::LinearCrossEntropy(_) | Kind::Divergence(_) | Kind::Elementwise(_) => {
            Ok(execute(set, kind, data)?.with_matrix_in(&mut out))
        }
    }
}

/// [`execute`] with the matrix in the memory of an array, where that saves something: new memory for every
/// window costs about as much as what is computed.
pub(crate) fn execute_reusing(
    set: InstructionSet,
    kind: &Kind<'_>,
    data: &Data<'_>,
    spare: Option<Array>,
) -> Result<Results> {
    let is_written_there = match kind {
        Kind::CrossEntropy(_) | Kind::Focal(_) | Kind::Transform(_, _) => {
            kind.output().has_matrix()
        }
        Kind::LinearCrossEntropy(_) | Kind::Divergence(_) | Kind::Elementwise(_) => false,
    };
    if !is_written_there {
        return execute(set, kind, data);
    }
    let mut array = spare.unwrap_or(Array::F32(Vec::new()));
    let out = array.as_matrix_like(&data.input)?;
    let results = execute_into(set, kind, data, out)?;
    Ok(Results { matrix: Some(array), ..results })
}

/// [`execute`] with the matrix over the input; `data` is what is read beside that.
pub(crate) fn execute_in_place(
    set: InstructionSet,
    kind: &Kind<'_>,
    mut matrix: MatrixMut<'_>,
    data: &Data<'_>,
) -> Result<Results> {
    match kind {
        Kind::CrossEntropy(op) => {
            labelled_in_place(set, &**op, matrix, data.labels()).map(Results::labelled)
        }
        Kind::Focal(op) => {
            labelled_in_place(set, &**op, matrix, data.labels()).map(Results::labelled)
        }
        Kind::Transform(op @ (Transform::Softmax | Transform::LogSoftmax), unit) => {
            transform_in_place(set, (*op, *unit), matrix, data.mask)?;
            Ok(Results::default())
        }
        Kind::LinearCrossEntropy(_)
        | Kind::Divergence(_)
        | Kind::Elementwise(_)
        | Kind::Transform(_, _) => {
            let results = execute(set, kind, &Data { input: matrix.as_matrix(), ..*data })?;
            Ok(results.with_matrix_in(&mut matrix))
        }
    }
}

/// So many zeros: what is as large as a matrix may be too large.
fn zeros<T: bytemuck::Zeroable>(elements: usize) -> Result<Vec<T>> {
    bytemuck::try_zeroed_vec(elements).map_err(|()| {
        let what = format!("{elements} elements of {} bytes on the host", size_of::<T>());
        Error::OutOfMemory { what }
    })
}

/// The upstream gradient of each loss, with the unit and what a mean divides by taken into it.
enum Dloss {
    Scalar(f32),
    Each(Vec<f32>),
}

impl Dloss {
    fn of(upstream: Upstream<'_>, reduction: Reduction, divisor: f64, unit: Unit) -> Self {
        let unit = unit.per_nat();
        match upstream {
            // 0 divides to NaN whatever is above it, not to infinity.
            Upstream::Scalar(_) if reduction == Reduction::Mean && divisor == 0.0 => {
                Self::Scalar(f32::NAN)
            }
            Upstream::Scalar(dloss) if reduction == Reduction::Mean => {
                Self::Scalar((dloss * unit / divisor) as f32)
            }
            Upstream::Scalar(dloss) => Self::Scalar((dloss * unit) as f32),
            Upstream::Each(dloss) => {
                Self::Each(dloss.to_f32().into_iter().map(|d| d * unit as f32).collect())
            }
        }
    }

    fn at(&self, i: usize) -> f32 {
        match self {
            Self::Scalar(dloss) => *dloss,
            Self::Each(dloss) => dloss[i],
        }
    }
}

/// The reported loss, added up in f64 and in a fixed order: the same bits on any number of threads.
pub(crate) fn reduce(losses: Vec<f32>, reduction: Reduction, divisor: f64) -> Loss {
    if reduction == Reduction::None {
        return Loss::Each(Array::F32(losses));
    }
    let sum = losses.chunks(BLOCK).map(sum_of_block).fold(0.0, |a, b| a + b);
    Loss::Reduced(reduced(sum, reduction, divisor))
}

/// Losses that are added up at a time.
const BLOCK: usize = 4096;

fn reduced(sum: f64, reduction: Reduction, divisor: f64) -> f64 {
    match reduction {
        Reduction::Mean if divisor == 0.0 => f64::NAN,
        Reduction::Mean => f64::from((sum / divisor) as f32),
        _ => f64::from(sum as f32),
    }
}

/// [`reduce`] of losses that come window by window: whole blocks are added when they are whole, so
/// that the bits do not depend on the windows.
#[derive(Debug, Default)]
pub(crate) struct LossSum {
    sum: f64,
    block: Vec<f32>,
}

impl LossSum {
    pub(crate) fn push(&mut self, mut losses: &[f32]) {
        while !losses.is_empty() {
            let (now, later) = losses.split_at(losses.len().min(BLOCK - self.block.len()));
            self.block.extend_from_slice(now);
            losses = later;
            if self.block.len() == BLOCK {
                self.sum += sum_of_block(&self.block);
                self.block.clear();
            }
        }
    }

    pub(crate) fn reduced(&self, reduction: Reduction, divisor: f64) -> f64 {
        let rest = if self.block.is_empty() { 0.0 } else { sum_of_block(&self.block) };
        reduced(self.sum + rest, reduction, divisor)
    }
}

/// In eight sums at once, so that no addition waits for the one before. Never -0.
fn sum_of_block(losses: &[f32]) -> f64 {
    let mut sums = [0.0; 8];
    let mut blocks = losses.chunks_exact(sums.len());
    for block in &mut blocks {
        for (sum, loss) in sums.iter_mut().zip(block) {
            *sum += f64::from(*loss);
        }
    }
    let rest: f64 = blocks.remainder().iter().copied().map(f64::from).fold(0.0, |a, b| a + b);
    sums.into_iter().fold(rest, |a, b| a + b)
}

/// A coefficient of 0 contributes 0, though its factor be infinite.
fn times(coefficient: f32, x: f32) -> f32 {
    if coefficient == 0.0 { 0.0 } else { coefficient * x }
}

/// The same, lane by lane.
#[inline(always)]
fn select_times<S: simd::Simd>(s: S, coefficient: S::F, x: S::F) -> S::F {
    let zero = s.splat(0.0);
    s.select(s.eq(coefficient, zero), zero, s.mul(coefficient, x))
}

#[cfg(test)]
mod tests {
    use super::zeros;
    use crate::error::Error;

    #[test]
    #[cfg_attr(miri, ignore = "Miri ends where memory does")]
    fn more_than_memory_holds_is_an_error() {
        let too_many = zeros::<f32>(1 << 60);
        assert!(matches!(too_many, Err(Error::OutOfMemory { .. })), "{too_many:?}");
        assert_eq!(zeros::<f32>(3), Ok(vec![0.0; 3]));
    }
}
