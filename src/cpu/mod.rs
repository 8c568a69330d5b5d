//! The CPU path: rows in parallel, f32 inside, the same row statistic as the shaders under the
//! same names.

mod cross_entropy;
mod divergence;
mod elementwise;
mod focal;
mod row_stat;
mod transform;

pub use row_stat::RowStat;

pub(crate) use cross_entropy::cross_entropy;
pub(crate) use divergence::divergence;
pub(crate) use elementwise::elementwise;
pub(crate) use focal::focal;
pub(crate) use transform::transform;

use std::borrow::Cow;

#[cfg(feature = "rayon")]
use rayon::prelude::*;

use crate::dtype::{Dtype, Element};
use crate::matrix::Array;
use crate::op::{Loss, Reduction, Unit, Upstream};

/// Elements below which handing work to another thread costs more than it saves.
const ELEMENTS_A_TASK: usize = 1 << 14;

/// Calls `f(row, its result)` for every row, on all threads.
fn for_each_row<R: Send>(classes: usize, results: &mut [R], f: impl Fn(usize, &mut R) + Sync) {
    let rows_a_task = (ELEMENTS_A_TASK / classes.max(1)).max(1);
    #[cfg(feature = "rayon")]
    let tasks = results.par_chunks_mut(rows_a_task);
    #[cfg(not(feature = "rayon"))]
    let tasks = results.chunks_mut(rows_a_task);
    tasks.enumerate().for_each(|(task, results)| {
        for (i, result) in results.iter_mut().enumerate() {
            f(task * rows_a_task + i, result);
        }
    });
}

/// Calls `f(row, its columns, its result)` for every row, on all threads.
fn for_each_row_with_columns<T: Send, R: Send>(
    classes: usize,
    columns: &mut [T],
    results: &mut [R],
    f: impl Fn(usize, &mut [T], &mut R) + Sync,
) {
    let mut rows: Vec<_> = columns.chunks_mut(classes.max(1)).zip(results).collect();
    for_each_row(classes, &mut rows, |row, (columns, result)| f(row, columns, result));
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

/// The reported loss. Added up in f64 and in the rows' order: the same bits on any number of threads.
fn reduce(losses: Vec<f32>, reduction: Reduction, divisor: f64) -> Loss {
    // The sum of nothing is -0 in Rust.
    let sum = losses.iter().copied().map(f64::from).sum::<f64>() + 0.0;
    match reduction {
        Reduction::None => Loss::Each(Array::F32(losses)),
        Reduction::Sum => Loss::Reduced(f64::from(sum as f32)),
        Reduction::Mean if divisor == 0.0 => Loss::Reduced(f64::NAN),
        Reduction::Mean => Loss::Reduced(f64::from((sum / divisor) as f32)),
    }
}

/// A coefficient of 0 contributes 0, though its factor be infinite.
fn times(coefficient: f32, x: f32) -> f32 {
    if coefficient == 0.0 { 0.0 } else { coefficient * x }
}

/// Some elements as f32; those that are f32 already are not copied.
fn as_f32<T: Element>(x: &[T]) -> Cow<'_, [f32]> {
    match T::DTYPE {
        Dtype::F32 => Cow::Borrowed(bytemuck::cast_slice(x)),
        _ => Cow::Owned(x.iter().map(|x| x.to_f32()).collect()),
    }
}

/// The sum of `f(0..len)`, accumulated in f64.
fn sum_by(len: usize, f: impl Fn(usize) -> f32) -> f32 {
    (0..len).map(|j| f64::from(f(j))).sum::<f64>() as f32
}
