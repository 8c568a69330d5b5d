//! The CPU path: rows in parallel, f32 inside, the same row statistic as the shaders under the
//! same names.

mod cross_entropy;
mod row_stat;
mod transform;

pub use row_stat::RowStat;

pub(crate) use cross_entropy::cross_entropy;
pub(crate) use transform::transform;

#[cfg(feature = "rayon")]
use rayon::prelude::*;

/// Elements below which handing work to another thread costs more than it saves.
#[cfg(feature = "rayon")]
const ELEMENTS_A_TASK: usize = 1 << 14;

#[cfg(feature = "rayon")]
fn rows_a_task(classes: usize) -> usize {
    (ELEMENTS_A_TASK / classes.max(1)).max(1)
}

/// Calls `f(row, its result)` for every row, on all threads.
fn for_each_row<R: Send>(classes: usize, results: &mut [R], f: impl Fn(usize, &mut R) + Sync) {
    #[cfg(feature = "rayon")]
    results
        .par_iter_mut()
        .enumerate()
        .with_min_len(rows_a_task(classes))
        .for_each(|(row, result)| f(row, result));
    #[cfg(not(feature = "rayon"))]
    results.iter_mut().enumerate().for_each(|(row, result)| f(row, result));
}

/// Calls `f(row, its columns, its result)` for every row, on all threads.
fn for_each_row_with_columns<T: Send, R: Send>(
    classes: usize,
    columns: &mut [T],
    results: &mut [R],
    f: impl Fn(usize, &mut [T], &mut R) + Sync,
) {
    #[cfg(feature = "rayon")]
    columns
        .par_chunks_mut(classes.max(1))
        .zip(results.par_iter_mut())
        .enumerate()
        .with_min_len(rows_a_task(classes))
        .for_each(|(row, (columns, result))| f(row, columns, result));
    #[cfg(not(feature = "rayon"))]
    columns
        .chunks_mut(classes.max(1))
        .zip(results.iter_mut())
        .enumerate()
        .for_each(|(row, (columns, result))| f(row, columns, result));
}
