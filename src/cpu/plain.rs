//! Operations that need no more of a row than its statistic and one element.

use crate::cpu::RowStat;
use crate::cpu::columns::{Stores, Sweep};
use crate::cpu::groups::{Group, SHORT, Tiles};
use crate::cpu::lanes::{Io, Lanes};
use crate::cpu::rows::{Part, Results, in_parts};
use crate::cpu::simd::{InstructionSet, Job, Simd, dispatch};

/// The element of a row that is looked at by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pick {
    Nothing,
    Column(usize),
    /// The row counts for nothing: its results stay as they are and its columns are 0.
    Ignored,
}

/// What is written of a row: each column, by a number for the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Columns {
    /// `exp(x - max)`
    Exps,
    /// `(max - x) + log1p(rest)`, which is -log p.
    Logs,
}

/// A row before its columns are written.
pub(super) struct Swept {
    pub(super) row: usize,
    pub(super) stat: RowStat,
    /// `log1p(rest)`
    pub(super) log_sum: f32,
    /// `1 / (1 + rest)`; NaN where there is no softmax.
    pub(super) over_sum: f32,
    pub(super) pick: Pick,
    /// The picked element, and `exp(x - max)`.
    pub(super) x: f32,
    pub(super) e: f32,
}

impl Swept {
    /// Of the picked element.
    pub(super) fn p(&self) -> f32 {
        self.e * self.over_sum
    }

    /// 1 - p of the picked element; where it is the maximum the 1 cancels before anything is rounded.
    pub(super) fn miss(&self) -> f32 {
        if self.x == self.stat.max() { self.stat.rest() * self.over_sum } else { 1.0 - self.p() }
    }

    /// -log p of the picked element; NaN if the row has no softmax.
    pub(super) fn nll(&self) -> f32 {
        let nll = (self.stat.max() - self.x) + self.log_sum;
        if self.over_sum.is_nan() { f32::NAN } else { nll }
    }

    pub(super) fn lse(&self) -> f32 {
        self.stat.lse_with(self.log_sum)
    }
}

/// What a row comes to.
#[derive(Default)]
pub(super) struct Finished {
    pub(super) loss: f32,
    pub(super) lse: f32,
    /// The number that the columns are multiplied by.
    pub(super) scale: f32,
    /// What the picked column is instead.
    pub(super) own: f32,
}

/// An operation on rows that needs no more of a row than its statistic and one element.
pub(super) trait PlainRows: Sync {
    const COLUMNS: Columns;

    fn pick(&self, _row: usize) -> Pick {
        Pick::Nothing
    }
    fn finish(&self, swept: &Swept) -> Finished;
}

/// Where the numbers of rows go; either may be empty.
#[derive(Default)]
pub(super) struct RowResults<'a> {
    pub(super) losses: &'a mut [f32],
    pub(super) lse: &'a mut [f32],
}

impl RowResults<'_> {
    #[inline(always)]
    pub(super) fn set(&mut self, row: usize, finished: &Finished) {
        if let Some(loss) = self.losses.get_mut(row) {
            *loss = finished.loss;
        }
        if let Some(lse) = self.lse.get_mut(row) {
            *lse = finished.lse;
        }
    }
}

impl Results for RowResults<'_> {
    fn split_off(&mut self, rows: usize) -> Self {
        Self { losses: self.losses.split_off(rows), lse: self.lse.split_off(rows) }
    }
}

/// Does a job for every row, on all threads.
pub(super) fn for_each_plain_row<J: PlainRows, T: Lanes>(
    set: InstructionSet,
    job: &J,
    (rows, classes): (usize, usize),
    io: Io<'_, T>,
    results: RowResults<'_>,
) {
    let run = |part| dispatch(set, Task { job, classes, part });
    in_parts((rows, classes), io, results, run);
}

struct Task<'a, J, T> {
    job: &'a J,
    classes: usize,
    part: Part<'a, T, RowResults<'a>>,
}

impl<J: PlainRows, T: Lanes> Job for Task<'_, J, T> {
    type Output = ();

    fn run<S: Simd>(self, s: S) {
        let Self { job, classes, part } = self;
        let Part { first_row, rows, is_shared, stores, mut io, mut results } = part;
        let sweep = Sweep { s, is_shared, stores };
        if classes > SHORT {
            for row in first_row..first_row + rows {
                let mut result = results.split_off(1);
                long_row(job, sweep, row, io.split_off(classes), &mut result);
            }
        } else {
            let (mut group, mut tiles) = (Group::new(job, sweep, classes), Tiles::new());
            for row in (first_row..first_row + rows).step_by(group.rows()) {
                let rows = group.rows().min(first_row + rows - row);
                let (now, mut results) = (io.split_off(rows * classes), results.split_off(rows));
                group.run(&mut tiles, row, now, io.next(), &mut results);
            }
        }
        if stores == Stores::Streamed {
            s.fence();
        }
    }
}

/// A row that does not fit the L1 cache: its second sweep meets it in the L2.
fn long_row<J: PlainRows, S: Simd, T: Lanes>(
    job: &J,
    sweep: Sweep<S>,
    row: usize,
    mut io: Io<'_, T>,
    results: &mut RowResults<'_>,
) {
    let pick = job.pick(row);
    if pick == Pick::Ignored {
        return io.output().fill(T::zeroed());
    }
    let stat = sweep.stat_of_long(io.input());
    let (max, log_sum) = (stat.max(), sweep.log1p(stat.rest()));
    let x = match pick {
        Pick::Column(column) => io.input()[column].to_f32(),
        _ => 0.0,
    };
    let e = sweep.exp_of_negative(x - max);
    let finished =
        job.finish(&Swept { row, stat, log_sum, over_sum: 1.0 / stat.sum(), pick, x, e });
    results.set(0, &finished);
    if matches!(io, Io::Read(_)) {
        return;
    }
    match J::COLUMNS {
        Columns::Logs => sweep.write_logs(io.reborrow(), max, log_sum, finished.scale),
        Columns::Exps => sweep.write_exps(io.reborrow(), max, finished.scale),
    }
    if let Pick::Column(column) = pick {
        io.output()[column] = T::from_f32(finished.own);
    }
}
