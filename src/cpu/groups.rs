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
/// Elements that are swept at a time, unless a row alone has more; twice as many where nothing is
/// written: with what follows them, they fit the L1 cache.
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
        match io {
            _ if self.classes <= NARROW => ROWS,
            Io::Read(_) => ROWS,
            _ => self.rows_of(ELEMENTS),
        }
    }

    fn rows_of(&self, elements: usize) -> usize {
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
            Io::Read(x) if classes > NARROW => {
                self.read(&mut tiles.x, first_row, x, next);
                return self.finish(x.len() / classes, results);
            }
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
                || stats.of_rows(s, 0, (x, next), classes, exps),
            );
        }
        self.pick(first_row, 0, x);
        self.finish(x.len() / classes, results);
        self.write(x, (&mut tiles.lanes, &mut tiles.columns), out);
    }

    /// Sweeps rows of which nothing is written, as many at a time as fit the L1 cache.
    fn read<T: Lanes>(
        &mut self,
        tile: &mut [f32; SHORT],
        first_row: usize,
        mut x: &[T],
        next: Next<'_>,
    ) {
        let Self { sweep: Sweep { s, .. }, classes, .. } = *self;
        let rows = self.rows_of(2 * ELEMENTS);
        let mut row = 0;
        while let Some(now) = x.split_off(..x.len().min(rows * classes)).filter(|x| !x.is_empty()) {
            let next = if x.is_empty() { next } else { Next::of(x) };
            let now = as_f32(self.sweep, now, tile);
            let stats = &mut self.stats;
            s.enable(
                #[inline(always)]
                || stats.of_rows(s, row, (now, next), classes, &mut []),
            );
            self.pick(first_row, row, now);
            row += rows;
        }
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

    /// Looks up what the job says of rows from `row` on, whose elements are `x`.
    fn pick(&mut self, first_row: usize, row: usize, x: &[f32]) {
        let Self { job, classes, stats, picks, .. } = self;
        for (row, x) in (row..).zip(x.chunks_exact(*classes)) {
            picks[row] = job.pick(first_row + row);
            stats.upstream[row] = job.upstream(first_row + row);
            if let Pick::Column(column) = picks[row] {
                (stats.x[row], stats.weight[row]) = (x[column], job.weight(column));
            }
        }
    }

    /// Sets the results of rows whose statistics are there.
    fn finish(&mut self, rows: usize, results: &mut RowResults<'_>) {
        let Self { job, sweep: Sweep { s, .. }, stats, picks, .. } = self;
        s.enable(
            #[inline(always)]
            || stats.finish(*s, *job, rows, results),
        );
        for row in (0..rows).filter(|&row| picks[row] == Pick::Ignored) {
            for numbers in [&mut *results.losses, &mut *results.lse] {
                if let Some(number) = numbers.get_mut(row) {
                    *number = 0.0;
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
