//! Rows that fit the L1 cache, several at a time: none waits for another, and what is done once a row
//! is done for a vector of rows.

use crate::cpu::RowStat;
use crate::cpu::columns::{CHAINS, Sweep};
use crate::cpu::lanes::{Io, Lanes, load, store};
use crate::cpu::math::exp_of_negative;
use crate::cpu::plain::{Columns, Pick, Picked, PlainRows, RowResults, Swept};
use crate::cpu::simd::Simd;
use crate::dtype::Dtype;

/// The longest row of a group.
pub(super) const SHORT: usize = 2048;
/// The longest row that lies in one lane, with others beside it.
const NARROW: usize = 32;
/// Rows of a group.
const ROWS: usize = 64;
/// Elements of a group, unless a row alone has more; twice as many where nothing is written: with what
/// follows it, it fits the L1 cache.
const ELEMENTS: usize = 1024;

/// A number for each row of a group.
type OfRows = [f32; ROWS];

/// What follows a group in memory; where nothing is written it is asked for meanwhile.
#[derive(Clone, Copy)]
pub(super) struct Next<'a> {
    bytes: &'a [u8],
    element: usize,
}

impl<'a> Next<'a> {
    pub(super) const NOTHING: Self = Self { bytes: &[], element: 0 };

    pub(super) fn of<T: Lanes>(x: &'a [T]) -> Self {
        Self { bytes: bytemuck::cast_slice(x), element: size_of::<T>() }
    }

    #[inline(always)]
    fn prefetch<S: Simd>(self, s: S, j: usize) {
        s.prefetch(self.bytes, j * self.element);
    }

    fn from(self, j: usize) -> Self {
        Self { bytes: self.bytes.get(j * self.element..).unwrap_or_default(), ..self }
    }
}

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

struct Stats {
    max: OfRows,
    rest: OfRows,
    /// The picked column's element, and what the job says of it and of its row.
    x: OfRows,
    weight: OfRows,
    upstream: OfRows,
    /// `log1p(rest)`
    log_sum: OfRows,
    /// What the columns are multiplied by, and what the picked one is instead.
    scale: OfRows,
    own: OfRows,
}

impl<'a, J: PlainRows, S: Simd> Group<'a, J, S> {
    pub(super) fn new(job: &'a J, sweep: Sweep<S>, classes: usize) -> Self {
        let zeros = [0.0; ROWS];
        let stats = Stats {
            max: zeros,
            rest: zeros,
            x: zeros,
            weight: [1.0; ROWS],
            upstream: zeros,
            log_sum: zeros,
            scale: zeros,
            own: zeros,
        };
        Self { job, sweep, classes, stats, picks: [Pick::Nothing; ROWS] }
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

impl Stats {
    /// In two sweeps: the maxima, then the sums. Each `exp(x - max)` is left in `exps`, unless that is
    /// empty.
    #[inline(always)]
    fn of_rows<S: Simd>(
        &mut self,
        s: S,
        x: &[f32],
        next: Next<'_>,
        classes: usize,
        exps: &mut [f32],
    ) {
        for (max, x) in self.max.iter_mut().zip(x.chunks_exact(classes)) {
            *max = max_of_short(s, x);
        }
        for (row, x) in x.chunks_exact(classes).enumerate() {
            let first = row * classes;
            let exps = if exps.is_empty() { &mut [] } else { &mut exps[first..first + classes] };
            self.rest[row] = rest_of_short(s, x, next.from(first), self.max[row], exps);
        }
    }

    /// A row a lane. Left in `columns`, by columns: each `exp(x - max)`, or x if logarithms are
    /// wanted.
    #[inline(always)]
    fn of_lanes<S: Simd>(
        &mut self,
        s: S,
        x: &[f32],
        classes: usize,
        wanted: Columns,
        columns: &mut [f32],
    ) {
        let (zero, one) = (s.splat(0.0), s.splat(1.0));
        let blocks = x.chunks(S::LANES * classes).zip(columns.chunks_exact_mut(S::LANES * classes));
        for (block, (x, columns)) in blocks.enumerate() {
            // Lanes without a row keep what an earlier one left.
            for (lane, x) in x.chunks_exact(classes).enumerate() {
                for (column, x) in columns.chunks_exact_mut(S::LANES).zip(x) {
                    column[lane] = *x;
                }
            }
            let mut max = s.splat(RowStat::IDENTITY.max());
            for x in columns.chunks_exact(S::LANES) {
                max = s.max(s.load(x), max);
            }
            let (mut rest, mut ties) = (zero, zero);
            for x in columns.chunks_exact_mut(S::LANES) {
                let v = s.load(x);
                let is_top = s.eq(v, max);
                // Where the maximum is infinite this is no number for the maximum itself.
                let e = exp_of_negative(s, s.sub(v, max));
                rest = s.add(rest, s.select(is_top, zero, e));
                ties = s.add(ties, s.select(is_top, one, zero));
                if wanted == Columns::Exps {
                    s.store(x, s.select(is_top, one, e));
                }
            }
            s.store(&mut self.max[block * S::LANES..], max);
            s.store(&mut self.rest[block * S::LANES..], s.add(rest, s.sub(ties, one)));
        }
    }

    /// What statistics come to.
    #[inline(always)]
    fn finish<S: Simd, J: PlainRows>(
        &mut self,
        s: S,
        job: &J,
        rows: usize,
        results: &mut RowResults<'_>,
    ) {
        for row in (0..rows).step_by(S::LANES) {
            let picked = Picked {
                x: s.load(&self.x[row..]),
                weight: s.load(&self.weight[row..]),
                upstream: s.load(&self.upstream[row..]),
            };
            let stat = (s.load(&self.max[row..]), s.load(&self.rest[row..]));
            let swept = Swept::of(s, stat, picked);
            let finished = job.finish(s, &swept);
            s.store(&mut self.log_sum[row..], swept.log_sum);
            s.store(&mut self.scale[row..], finished.scale);
            s.store(&mut self.own[row..], finished.own);
            let end = rows.min(row + S::LANES);
            if !results.losses.is_empty() {
                store(s, &mut results.losses[row..end], finished.loss);
            }
            if !results.lse.is_empty() {
                store(s, &mut results.lse[row..end], finished.lse);
            }
        }
    }

    #[inline(always)]
    fn scale<S: Simd>(&self, s: S, classes: usize, out: &mut [f32]) {
        for (scale, out) in self.scale.iter().zip(out.chunks_exact_mut(classes)) {
            for out in out.chunks_mut(S::LANES) {
                let v = s.mul(load(s, out, 0.0), s.splat(*scale));
                store(s, out, v);
            }
        }
    }

    #[inline(always)]
    fn write_exps<S: Simd, T: Lanes>(&self, s: S, exps: &[f32], classes: usize, out: &mut [T]) {
        let rows = exps.chunks_exact(classes).zip(out.chunks_exact_mut(classes));
        for (scale, (exps, out)) in self.scale.iter().zip(rows) {
            for (out, e) in out.chunks_mut(S::LANES).zip(exps.chunks(S::LANES)) {
                store(s, out, s.mul(load(s, e, 0.0), s.splat(*scale)));
            }
        }
    }

    #[inline(always)]
    fn write_logs<S: Simd, T: Lanes>(&self, s: S, x: &[f32], classes: usize, out: &mut [T]) {
        for (row, (x, out)) in
            x.chunks_exact(classes).zip(out.chunks_exact_mut(classes)).enumerate()
        {
            let (max, scale) = (s.splat(self.max[row]), s.splat(self.scale[row]));
            let log_sum = s.splat(self.log_sum[row]);
            for (out, x) in out.chunks_mut(S::LANES).zip(x.chunks(S::LANES)) {
                let nll = s.add(s.sub(max, load(s, x, 0.0)), log_sum);
                store(s, out, s.mul(scale, nll));
            }
        }
    }

    /// From columns to rows.
    #[inline(always)]
    fn write_lanes<S: Simd>(
        &self,
        s: S,
        columns: &mut [f32],
        classes: usize,
        wanted: Columns,
        out: &mut [f32],
    ) {
        let blocks =
            out.chunks_mut(S::LANES * classes).zip(columns.chunks_exact_mut(S::LANES * classes));
        for (block, (out, columns)) in blocks.enumerate() {
            let rows = block * S::LANES;
            let (max, scale) = (s.load(&self.max[rows..]), s.load(&self.scale[rows..]));
            let log_sum = s.load(&self.log_sum[rows..]);
            for column in columns.chunks_exact_mut(S::LANES) {
                let v = s.load(column);
                let v = match wanted {
                    Columns::Exps => v,
                    Columns::Logs => s.add(s.sub(max, v), log_sum),
                };
                s.store(column, s.mul(scale, v));
            }
            for (lane, out) in out.chunks_exact_mut(classes).enumerate() {
                for (out, column) in out.iter_mut().zip(columns.chunks_exact(S::LANES)) {
                    *out = column[lane];
                }
            }
        }
    }
}

#[inline(always)]
pub(super) fn max_of_short<S: Simd>(s: S, x: &[f32]) -> f32 {
    let mut max = [s.splat(RowStat::IDENTITY.max()); CHAINS];
    let mut blocks = x.chunks_exact(CHAINS * S::LANES);
    for block in &mut blocks {
        for (max, x) in max.iter_mut().zip(block.chunks_exact(S::LANES)) {
            *max = s.max(s.load(x), *max);
        }
    }
    for x in blocks.remainder().chunks(S::LANES) {
        max[0] = s.max(load(s, x, f32::NEG_INFINITY), max[0]);
    }
    s.largest(s.max(s.max(max[0], max[1]), s.max(max[2], max[3])))
}

#[inline(always)]
pub(super) fn rest_of_short<S: Simd>(
    s: S,
    x: &[f32],
    next: Next<'_>,
    max: f32,
    exps: &mut [f32],
) -> f32 {
    let top = s.splat(max);
    let mut sums = [Rest { rest: s.splat(0.0), ties: 0 }; CHAINS];
    let mut blocks = x.chunks_exact(CHAINS * S::LANES);
    let mut j = 0;
    if exps.is_empty() {
        for block in &mut blocks {
            for (sum, x) in sums.iter_mut().zip(block.chunks_exact(S::LANES)) {
                next.prefetch(s, j);
                sum.add(s, s.load(x), top);
                j += S::LANES;
            }
        }
    } else {
        let exps = exps.chunks_exact_mut(CHAINS * S::LANES);
        for (block, exps) in (&mut blocks).zip(exps) {
            let block = block.chunks_exact(S::LANES).zip(exps.chunks_exact_mut(S::LANES));
            for (sum, (x, exp)) in sums.iter_mut().zip(block) {
                next.prefetch(s, j);
                s.store(exp, sum.add(s, s.load(x), top));
                j += S::LANES;
            }
        }
    }
    let mut j = x.len() - blocks.remainder().len();
    while j < x.len() {
        let end = x.len().min(j + S::LANES);
        next.prefetch(s, j);
        let e = sums[0].add(s, load(s, &x[j..end], f32::NEG_INFINITY), top);
        if !exps.is_empty() {
            store(s, &mut exps[j..end], e);
        }
        j = end;
    }
    let [a, b, c, d] = sums;
    let rest = s.sum(s.add(s.add(a.rest, b.rest), s.add(c.rest, d.rest)));
    rest + ((a.ties + b.ties + c.ties + d.ties) as f32 - 1.0)
}

/// The sum of the exponentials of what is below the maximum, and how often the maximum itself was met.
#[derive(Clone, Copy)]
struct Rest<F> {
    rest: F,
    ties: u32,
}

impl<F: Copy> Rest<F> {
    /// Returns `exp(x - top)`.
    #[inline(always)]
    fn add<S: Simd<F = F>>(&mut self, s: S, x: F, top: F) -> F {
        let is_top = s.eq(x, top);
        // Where the maximum is infinite this is no number for the maximum itself.
        let e = exp_of_negative(s, s.sub(x, top));
        self.rest = s.select(is_top, self.rest, s.add(self.rest, e));
        self.ties += s.count(is_top);
        e
    }
}
