//! Rows that fit the L1 cache, several at a time: none waits for another, and what is done once a row
//! is done for a vector of rows.

use crate::cpu::columns::Sweep;
use crate::cpu::lanes::{Io, Lanes};
use crate::cpu::plain::{Columns, Pick, PlainRows, RowResults};
use crate::cpu::short::{Next, ROWS, Stats};
use crate::cpu::simd::Simd;
use crate::dtype::Dtype;

/// The longest row of a group.
pub(super) const SHORT: usize = 2048;
/// The longest row that lies in one lane, with others beside it.
const NARROW: usize = 32;
/// Elements of a group, unless a row alone has more; twice as many where nothing is written: with what
/// follows it, it fits the L1 cache.
const ELEMENTS: usize = 1024;

/// Where elements wait as f32.
pub(super) struct Tiles {
    x: [f32; SHORT],
    columns: [f32; SHORT],
    /// By columns, a row a lane.
    lanes: [f32; SHORT],
}

impl Tiles {
    pub(super) fn new() -> Box<Self> {
        let zeros = [0.0; SHORT];
        Box::new(Self { x: zeros, columns: zeros, lanes: zeros })
    }
}

/// Some short rows and what comes of them.
pub(super) struct Group<'a, J, S> {
    job: &'a J,
    sweep: Sweep<S>,
    classes: usize,
    stats: Stats,
    picks: [Pick; ROWS],
}

impl<'a, J: PlainRows, S: Simd> Group<'a, J, S> {
    pub(super) fn new(job: &'a J, sweep: Sweep<S>, classes: usize) -> Self {
        Self { job, sweep, classes, stats: Stats::new(), picks: [Pick::Nothing; ROWS] }
    }

    /// How many rows are a group, given what is done with them.
    pub(super) fn rows<T>(&self, io: &Io<'_, T>) -> usize {
        let elements = match io {
            _ if self.classes <= NARROW => return ROWS,
            Io::Read(_) => 2 * ELEMENTS,
            _ => ELEMENTS,
        };
        (elements / self.classes).clamp(1, ROWS)
    }

    /// Sets the results of some rows and writes their columns.
    pub(super) fn run<T: Lanes>(
        &mut self,
        tiles: &mut Tiles,
        first_row: usize,
        io: Io<'_, T>,
        next: Next<'_>,
        results: &mut RowResults<'_>,
    ) {
        let Self { sweep, classes, .. } = *self;
        let (x, out): (&[f32], &mut [T]) = match io {
            Io::Read(x) => (as_f32(sweep, x, &mut tiles.x), &mut []),
            Io::Separate(x, out) => (as_f32(sweep, x, &mut tiles.x), out),
            Io::InPlace(out) => {
                sweep.widen(out, &mut tiles.x);
                (&tiles.x[..out.len()], out)
            }
        };
        let (s, stats, lanes) = (sweep.s, &mut self.stats, &mut tiles.lanes);
        if classes <= NARROW {
            s.enable(
                #[inline(always)]
                || stats.of_lanes(s, x, classes, J::COLUMNS, lanes),
            );
        } else {
            let exps = match J::COLUMNS {
                Columns::Logs => &mut [],
                // They stay where they are going to be scaled.
                Columns::Exps if T::DTYPE == Dtype::F32 => bytemuck::cast_slice_mut(&mut *out),
                Columns::Exps => &mut tiles.columns[..out.len()],
            };
            s.enable(
                #[inline(always)]
                || stats.of_rows(s, x, next, classes, exps),
            );
        }
        self.finish(first_row, x, results);
        self.write(x, (&mut tiles.lanes, &mut tiles.columns), out);
    }

    /// Writes the columns, given what `run` has left of them.
    fn write<T: Lanes>(
        &self,
        x: &[f32],
        (lanes, columns): (&mut [f32], &mut [f32]),
        out: &mut [T],
    ) {
        let Self { sweep, classes, stats, .. } = self;
        let (s, classes, len) = (sweep.s, *classes, out.len());
        let is_f32 = T::DTYPE == Dtype::F32;
        if classes <= NARROW {
            let rows = if is_f32 { bytemuck::cast_slice_mut(out) } else { &mut columns[..len] };
            s.enable(
                #[inline(always)]
                || stats.write_lanes(s, lanes, classes, J::COLUMNS, rows),
            );
            if !is_f32 {
                sweep.write_scaled(&columns[..len], out, 1.0);
            }
        } else if J::COLUMNS == Columns::Logs {
            s.enable(
                #[inline(always)]
                || stats.write_logs(s, x, classes, out),
            );
        } else if is_f32 {
            let out = bytemuck::cast_slice_mut(out);
            s.enable(
                #[inline(always)]
                || stats.scale(s, classes, out),
            );
        } else {
            s.enable(
                #[inline(always)]
                || stats.write_exps(s, columns, classes, out),
            );
        }
        for (row, out) in out.chunks_exact_mut(classes).enumerate() {
            match self.picks[row] {
                Pick::Nothing => {}
                Pick::Column(column) => out[column] = T::from_f32(stats.own[row]),
                Pick::Ignored => out.fill(T::zeroed()),
            }
        }
    }

    /// Sets the results of rows whose statistics are there.
    fn finish(&mut self, first_row: usize, x: &[f32], results: &mut RowResults<'_>) {
        let Self { job, sweep: Sweep { s, .. }, classes, stats, picks, .. } = self;
        let mut is_any_ignored = false;
        for (row, (pick, x)) in picks.iter_mut().zip(x.chunks_exact(*classes)).enumerate() {
            *pick = job.pick(first_row + row);
            stats.upstream[row] = job.upstream(first_row + row);
            match *pick {
                Pick::Nothing => {}
                Pick::Column(column) => {
                    (stats.x[row], stats.weight[row]) = (x[column], job.weight(column));
                }
                Pick::Ignored => is_any_ignored = true,
            }
        }
        let rows = x.len() / *classes;
        s.enable(
            #[inline(always)]
            || stats.finish(*s, *job, rows, results),
        );
        if is_any_ignored {
            for row in (0..rows).filter(|&row| picks[row] == Pick::Ignored) {
                for numbers in [&mut *results.losses, &mut *results.lse] {
                    if let Some(number) = numbers.get_mut(row) {
                        *number = 0.0;
                    }
                }
            }
        }
    }
}

/// The elements as f32: themselves, if they are, or in `tile`.
fn as_f32<'t, T: Lanes, S: Simd>(
    sweep: Sweep<S>,
    x: &'t [T],
    tile: &'t mut [f32; SHORT],
) -> &'t [f32] {
    if T::DTYPE == Dtype::F32 {
        return bytemuck::cast_slice(x);
    }
    sweep.widen(x, tile);
    &tile[..x.len()]
}
