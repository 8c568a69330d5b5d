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
