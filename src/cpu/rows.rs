//! Rows in parallel.

#[cfg(feature = "rayon")]
use rayon::prelude::*;

use crate::cpu::columns::{Stores, Sweep};
use crate::cpu::lanes::{Io, Lanes};
use crate::cpu::simd::{InstructionSet, Job, MAX_LANES, Simd, dispatch};

/// Elements that a task goes through: what a core's L2 cache holds, in and out.
const ELEMENTS_A_TASK: usize = 1 << 16;
/// Bytes of output from which on it is streamed past the caches.
const STREAMED_FROM: usize = 8 << 20;

/// What rows come to, one after the other.
pub(super) trait Results: Send {
    /// Takes the first rows off.
    fn split_off(&mut self, rows: usize) -> Self;
}

impl<R: Send> Results for &mut [R] {
    #[inline(always)]
    fn split_off(&mut self, rows: usize) -> Self {
        self.split_off_mut(..rows.min(self.len())).unwrap_or_default()
    }
}

/// Some rows next to each other, for one thread.
pub(super) struct Part<'a, T, R> {
    pub(super) first_row: usize,
    pub(super) rows: usize,
    pub(super) is_shared: bool,
    pub(super) stores: Stores,
    pub(super) io: Io<'a, T>,
    pub(super) results: R,
}

/// Calls `f` with all rows, in parts, on all threads.
pub(super) fn in_parts<'a, T: Lanes, R: Results>(
    (rows, classes): (usize, usize),
    mut io: Io<'a, T>,
    mut results: R,
    f: impl Fn(Part<'a, T, R>) + Send + Sync,
) {
    let rows_a_task = (ELEMENTS_A_TASK / classes.max(1)).max(1);
    let stores = match &io {
        Io::Separate(_, out) if size_of_val(&**out) >= STREAMED_FROM => Stores::Streamed,
        _ => Stores::Cached,
    };
    #[cfg(feature = "rayon")]
    let threads = rayon::current_num_threads();
    #[cfg(not(feature = "rayon"))]
    let threads = 1;
    let is_shared = threads > 1 && rows.div_ceil(rows_a_task) < 4 * threads;
    let parts: Vec<_> = (0..rows)
        .step_by(rows_a_task)
        .map(|first_row| {
            let rows = rows_a_task.min(rows - first_row);
            let (io, results) = (io.split_off(rows * classes), results.split_off(rows));
            Part { first_row, rows, is_shared, stores, io, results }
        })
        .collect();
    #[cfg(feature = "rayon")]
    parts.into_par_iter().for_each(f);
    #[cfg(not(feature = "rayon"))]
    parts.into_iter().for_each(f);
}

/// The memory that a thread works in: rows as f32, whole vectors long.
pub(super) struct Work {
    pub(super) classes: usize,
    /// The row; what is past its end may be anything.
    pub(super) x: Vec<f32>,
    /// What is written of it.
    pub(super) out: Vec<f32>,
    /// Two more, for whatever is needed.
    pub(super) a: Vec<f32>,
    pub(super) b: Vec<f32>,
}

/// An operation on rows.
pub(super) trait Rows: Sync {
    type Result: Send;

    /// Whether a row counts; one that does not leaves its result as it is, and its columns are 0.
    fn counts(&self, _row: usize) -> bool {
        true
    }

    /// Reads `work.x`, sets the result and, if the batch has an output, `work.out`.
    fn row<S: Simd>(&self, sweep: Sweep<S>, row: usize, work: &mut Work, result: &mut Self::Result);
}

struct Task<'a, J: Rows, T> {
    job: &'a J,
    classes: usize,
    part: Part<'a, T, &'a mut [J::Result]>,
}

impl<J: Rows, T: Lanes> Job for Task<'_, J, T> {
    type Output = ();

    fn run<S: Simd>(self, s: S) {
        let Self { job, classes, mut part } = self;
        let sweep = Sweep { s, is_shared: part.is_shared, stores: part.stores };
        let row = || vec![0.0; classes.next_multiple_of(MAX_LANES)];
        let mut work = Work { classes, x: row(), out: row(), a: row(), b: row() };
        for (i, result) in part.results.iter_mut().enumerate() {
            let (mut io, row) = (part.io.split_off(classes), part.first_row + i);
            if job.counts(row) {
                sweep.widen(io.input(), &mut work.x);
                job.row(sweep, row, &mut work, result);
            } else {
                work.out.fill(0.0);
            }
            if !matches!(io, Io::Read(_)) {
                sweep.write_scaled(&work.out[..classes], io.output(), 1.0);
            }
        }
        if part.stores == Stores::Streamed {
            s.fence();
        }
    }
}

/// Does a job for every row, on all threads.
pub(super) fn for_each_row<J: Rows, T: Lanes>(
    set: InstructionSet,
    job: &J,
    classes: usize,
    io: Io<'_, T>,
    results: &mut [J::Result],
) {
    let rows = results.len();
    in_parts((rows, classes), io, results, |part| dispatch(set, Task { job, classes, part }));
}
