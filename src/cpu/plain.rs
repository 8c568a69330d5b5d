//! Operations that need no more of a row than its statistic and one element.

use crate::cpu::columns::{Stores, Sweep, first};
use crate::cpu::groups::{Group, SHORT, Tiles};
use crate::cpu::lanes::{Io, Lanes};
use crate::cpu::math::{exp_of_negative, log1p};
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

/// Rows before their columns are written, one a lane.
pub(super) struct Swept<F> {
    pub(super) max: F,
    pub(super) rest: F,
    /// `log1p(rest)`
    pub(super) log_sum: F,
    /// `1 / (1 + rest)`; NaN where there is no softmax.
    pub(super) over_sum: F,
    /// The picked element, and `exp(x - max)`.
    pub(super) x: F,
    pub(super) e: F,
    /// What the job said of the picked class, and of the row.
    pub(super) weight: F,
    pub(super) upstream: F,
}

impl<F: Copy> Swept<F> {
    #[inline(always)]
    pub(super) fn of<S: Simd<F = F>>(s: S, (max, rest): (F, F), picked: Picked<F>) -> Self {
        let (zero, one, nan) = (s.splat(0.0), s.splat(1.0), s.splat(f32::NAN));
        let Picked { x, weight, upstream } = picked;
        let sum = s.add(one, rest);
        let over_sum = s.select(s.lt(zero, sum), s.div(one, sum), nan);
        let is_finite = s.lt(max, s.splat(f32::INFINITY));
        Self {
            max,
            rest,
            log_sum: log1p(s, rest),
            over_sum: s.select(is_finite, over_sum, nan),
            x,
            e: exp_of_negative(s, s.sub(x, max)),
            weight,
            upstream,
        }
    }

    /// Of the picked element.
    #[inline(always)]
    pub(super) fn p<S: Simd<F = F>>(&self, s: S) -> F {
        s.mul(self.e, self.over_sum)
    }

    /// 1 - p of the picked element; where it is the maximum the 1 cancels before anything is rounded.
    #[inline(always)]
    pub(super) fn miss<S: Simd<F = F>>(&self, s: S) -> F {
        let top = s.mul(self.rest, self.over_sum);
        s.select(s.eq(self.x, self.max), top, s.sub(s.splat(1.0), self.p(s)))
    }

    /// -log p of the picked element.
    #[inline(always)]
    pub(super) fn nll<S: Simd<F = F>>(&self, s: S) -> F {
        self.defined(s, s.add(s.sub(self.max, self.x), self.log_sum))
    }

    /// The same, or NaN where there is no softmax.
    #[inline(always)]
    pub(super) fn defined<S: Simd<F = F>>(&self, s: S, y: F) -> F {
        s.select(s.eq(self.over_sum, self.over_sum), y, self.over_sum)
    }

    #[inline(always)]
    pub(super) fn lse<S: Simd<F = F>>(&self, s: S) -> F {
        s.add(self.max, self.log_sum)
    }
}

/// The element of each row that is looked at by itself, and what the job says of it and of its row.
#[derive(Clone, Copy)]
pub(super) struct Picked<F> {
    pub(super) x: F,
    pub(super) weight: F,
    pub(super) upstream: F,
}

/// What rows come to, one a lane.
pub(super) struct Finished<F> {
    pub(super) loss: F,
    pub(super) lse: F,
    /// The number that the columns are multiplied by.
    pub(super) scale: F,
    /// What the picked column is instead.
    pub(super) own: F,
}

impl<F: Copy> Finished<F> {
    #[inline(always)]
    pub(super) fn nothing<S: Simd<F = F>>(s: S) -> Self {
        let zero = s.splat(0.0);
        Self { loss: zero, lse: zero, scale: zero, own: zero }
    }
}

/// An operation on rows that needs no more of a row than its statistic and one element.
pub(super) trait PlainRows: Sync {
    const COLUMNS: Columns;

    fn pick(&self, _row: usize) -> Pick {
        Pick::Nothing
    }
    /// A number of the picked class.
    fn weight(&self, _column: usize) -> f32 {
        1.0
    }
    /// A number of the row.
    fn upstream(&self, _row: usize) -> f32 {
        1.0
    }
    fn finish<S: Simd>(&self, s: S, swept: &Swept<S::F>) -> Finished<S::F>;
}

/// Where the numbers of rows go; either may be empty.
#[derive(Default)]
pub(super) struct RowResults<'a> {
    pub(super) losses: &'a mut [f32],
    pub(super) lse: &'a mut [f32],
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
            let group_rows = group.rows(&io);
            for row in (first_row..first_row + rows).step_by(group_rows) {
                let rows = group_rows.min(first_row + rows - row);
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
    let (x, weight) = match pick {
        Pick::Column(column) => (io.input()[column].to_f32(), job.weight(column)),
        _ => (0.0, 1.0),
    };
    let (s, upstream, max) = (sweep.s, job.upstream(row), stat.max());
    let (log_sum, scale, own) = s.enable(
        #[inline(always)]
        || {
            let (x, weight, upstream) = (s.splat(x), s.splat(weight), s.splat(upstream));
            let stat = (s.splat(max), s.splat(stat.rest()));
            let swept = Swept::of(s, stat, Picked { x, weight, upstream });
            let finished = job.finish(s, &swept);
            results.losses.fill(first(s, finished.loss));
            results.lse.fill(first(s, finished.lse));
            (first(s, swept.log_sum), first(s, finished.scale), first(s, finished.own))
        },
    );
    if matches!(io, Io::Read(_)) {
        return;
    }
    match J::COLUMNS {
        Columns::Logs => sweep.write_logs(io.reborrow(), max, log_sum, scale),
        Columns::Exps => sweep.write_exps(io.reborrow(), max, scale),
    }
    if let Pick::Column(column) = pick {
        io.output()[column] = T::from_f32(own);
    }
}
