//! Rows in parallel.

#[cfg(feature = "rayon")]
use rayon::prelude::*;

use crate::cpu::RowStat;
use crate::cpu::columns::{GROUP, GROUPED, Io, Lanes, SHORT, Stores, Sweep};
use crate::cpu::simd::{InstructionSet, Job, MAX_LANES, Simd, dispatch};
use crate::dtype::Dtype;

/// Elements that a task goes through: what a core's L2 cache holds, in and out.
const ELEMENTS_A_TASK: usize = 1 << 16;
/// Bytes of output from which on it is streamed past the caches.
const STREAMED_FROM: usize = 8 << 20;

/// Some rows next to each other, for one thread.
struct Part<'a, T, R> {
    first_row: usize,
    is_shared: bool,
    stores: Stores,
    io: Io<'a, T>,
    results: &'a mut [R],
}

/// Calls `f` with all rows, in parts, on all threads.
fn in_parts<T: Lanes, R: Send>(
    classes: usize,
    mut io: Io<'_, T>,
    results: &mut [R],
    f: impl Fn(Part<'_, T, R>) + Send + Sync,
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
    let is_shared = threads > 1 && results.len().div_ceil(rows_a_task) < 4 * threads;
    let parts: Vec<_> = results
        .chunks_mut(rows_a_task)
        .enumerate()
        .map(|(task, results)| Part {
            first_row: task * rows_a_task,
            is_shared,
            stores,
            io: io.split_off(results.len() * classes),
            results,
        })
        .collect();
    #[cfg(feature = "rayon")]
    parts.into_par_iter().for_each(f);
    #[cfg(not(feature = "rayon"))]
    parts.into_iter().for_each(f);
}

/// What a row's columns are, given its statistic.
pub(super) enum Columns {
    /// Not asked for.
    None,
    /// `scale * exp(x - max)`; in one column, maybe, another number.
    Exps { scale: f32, own: Option<(usize, f32)> },
    /// `scale * -log p`.
    Logs { scale: f32 },
}

/// What a row comes to before its columns are written.
#[derive(Clone, Copy)]
pub(super) struct Swept {
    pub(super) row: usize,
    pub(super) stat: RowStat,
    /// `log1p(rest)`.
    pub(super) log_sum: f32,
}

/// An operation on rows that needs no more of a row than its statistic and single elements.
pub(super) trait PlainRows: Sync {
    type Result: Send;
    /// Whether columns are `exp(x - max)` by a number.
    const WRITES_EXPS: bool;

    /// Whether a row counts for nothing: its result stays as it is and its columns are 0.
    fn ignores(&self, _row: usize) -> bool {
        false
    }
    /// Sets the result, and says what the columns are.
    fn finish<T: Lanes>(&self, swept: Swept, x: &[T], result: &mut Self::Result) -> Columns;
}

struct PlainTask<'a, J: PlainRows, T> {
    job: &'a J,
    classes: usize,
    part: Part<'a, T, J::Result>,
}

impl<J: PlainRows, T: Lanes> Job for PlainTask<'_, J, T> {
    type Output = ();

    fn run<S: Simd>(self, s: S) {
        let sweep = Sweep { s, is_shared: self.part.is_shared, stores: self.part.stores };
        if self.part.stores == Stores::Streamed {
            self.run_with(sweep);
            s.fence();
        } else {
            self.run_with(sweep);
        }
    }
}

impl<J: PlainRows, T: Lanes> PlainTask<'_, J, T> {
    fn run_with<S: Simd>(self, sweep: Sweep<S>) {
        let Self { job, classes, part } = self;
        let Part { mut first_row, mut io, results, .. } = part;
        if classes > SHORT {
            for (row, result) in (first_row..).zip(results) {
                long_row(job, sweep, row, io.split_off(classes), result);
            }
            return;
        }
        let mut group = Group::new(job, sweep, classes);
        let mut tile = vec![0.0; GROUPED];
        for results in results.chunks_mut(group.rows) {
            let now = io.split_off(results.len() * classes);
            group.run(first_row, now, io.input(), &mut tile, results);
            first_row += results.len();
        }
    }
}

/// A row that does not fit the L1 cache: its second sweep meets it in the L2.
fn long_row<J: PlainRows, S: Simd, T: Lanes>(
    job: &J,
    sweep: Sweep<S>,
    row: usize,
    mut io: Io<'_, T>,
    result: &mut J::Result,
) {
    if job.ignores(row) {
        io.output().fill(T::zeroed());
        return;
    }
    let stat = sweep.stat(io.input());
    let swept = Swept { row, stat, log_sum: sweep.log1p(stat.rest()) };
    match job.finish(swept, io.input(), result) {
        Columns::None => {}
        Columns::Logs { scale } => sweep.write_logs(io, stat.max(), swept.log_sum, scale),
        Columns::Exps { scale, own } => {
            sweep.write_exps(io.reborrow(), stat.max(), scale);
            if let Some((column, value)) = own {
                io.output()[column] = T::from_f32(value);
            }
        }
    }
}

/// Short rows, swept together.
struct Group<'a, J, S> {
    job: &'a J,
    sweep: Sweep<S>,
    classes: usize,
    rows: usize,
    stats: [RowStat; GROUP],
    log_sums: [f32; GROUP],
}

impl<'a, J: PlainRows, S: Simd> Group<'a, J, S> {
    fn new(job: &'a J, sweep: Sweep<S>, classes: usize) -> Self {
        Self {
            job,
            sweep,
            classes,
            rows: (GROUPED / classes.max(1)).clamp(1, GROUP),
            stats: [RowStat::IDENTITY; GROUP],
            log_sums: [0.0; GROUP],
        }
    }

    /// `next` is what follows; columns may wait in `tile` until all are done.
    fn run<T: Lanes>(
        &mut self,
        first_row: usize,
        mut io: Io<'_, T>,
        next: &[T],
        tile: &mut [f32],
        results: &mut [J::Result],
    ) {
        match &mut io {
            Io::Read(x) => self.sweep(first_row, (x, next), &mut [], results),
            // Exponentials are stored where they stay, while others are computed.
            Io::Separate(x, out) if T::DTYPE == Dtype::F32 => {
                let out = bytemuck::cast_slice_mut(out);
                self.sweep(first_row, (x, next), out, results);
            }
            io => {
                let columns = &mut tile[..io.input().len()];
                self.sweep(first_row, (io.input(), next), columns, results);
                self.sweep.write_scaled(columns, io.output(), 1.0);
            }
        }
    }

    /// Sets the results, and the columns if there is room for them.
    fn sweep<T: Lanes>(
        &mut self,
        first_row: usize,
        (x, next): (&[T], &[T]),
        columns: &mut [f32],
        results: &mut [J::Result],
    ) {
        let Self { job, sweep, classes, .. } = *self;
        let stats = &mut self.stats[..results.len()];
        let (width, exps) = match columns.len() {
            0 => (0, &mut [][..]),
            _ if J::WRITES_EXPS => (classes, &mut *columns),
            _ => (classes, &mut [][..]),
        };
        sweep.stats(x, next, stats, exps);
        sweep.log_sums(stats, &mut self.log_sums);
        for (i, (result, x)) in results.iter_mut().zip(x.chunks_exact(classes)).enumerate() {
            let columns = &mut columns[i * width..(i + 1) * width];
            let (row, stat, log_sum) = (first_row + i, stats[i], self.log_sums[i]);
            if job.ignores(row) {
                columns.fill(0.0);
                continue;
            }
            match job.finish(Swept { row, stat, log_sum }, x, result) {
                Columns::None => {}
                Columns::Logs { scale } => sweep.logs(x, columns, stat.max(), log_sum, scale),
                Columns::Exps { scale, own } => {
                    sweep.scale(columns, scale);
                    if let Some((column, value)) = own {
                        columns[column] = value;
                    }
                }
            }
        }
    }
}

/// Does a job for every row, on all threads.
pub(super) fn for_each_plain_row<J: PlainRows, T: Lanes>(
    set: InstructionSet,
    job: &J,
    classes: usize,
    io: Io<'_, T>,
    results: &mut [J::Result],
) {
    in_parts(classes, io, results, |part| dispatch(set, PlainTask { job, classes, part }));
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

    /// Reads `work.x`, sets the result and, if the batch has an output, `work.out`.
    fn row<S: Simd>(&self, sweep: Sweep<S>, row: usize, work: &mut Work, result: &mut Self::Result);
}

struct Task<'a, J: Rows, T> {
    job: &'a J,
    classes: usize,
    part: Part<'a, T, J::Result>,
}

impl<J: Rows, T: Lanes> Job for Task<'_, J, T> {
    type Output = ();

    fn run<S: Simd>(self, s: S) {
        let Self { job, classes, mut part } = self;
        let sweep = Sweep { s, is_shared: part.is_shared, stores: part.stores };
        let row = || vec![0.0; classes.next_multiple_of(MAX_LANES)];
        let mut work = Work { classes, x: row(), out: row(), a: row(), b: row() };
        for (i, result) in part.results.iter_mut().enumerate() {
            let mut io = part.io.split_off(classes);
            sweep.widen(io.input(), &mut work.x);
            job.row(sweep, part.first_row + i, &mut work, result);
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
    in_parts(classes, io, results, |part| dispatch(set, Task { job, classes, part }));
}
