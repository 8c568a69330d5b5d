//! What is done along rows that fit the L1 cache: their statistics, and what comes of them.

use crate::cpu::RowStat;
use crate::cpu::lanes::{Lanes, load, store};
use crate::cpu::math::exp_of_negative;
use crate::cpu::plain::{Columns, Picked, PlainRows, RowResults, Swept};
use crate::cpu::simd::Simd;

/// Vectors that a sweep takes at a time, each with a sum of its own.
const CHAINS: usize = 2;
/// The most rows that are handled together.
pub(super) const ROWS: usize = 64;

/// A number for each of them.
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

/// Statistics of some rows.
pub(super) struct Stats {
    pub(super) max: OfRows,
    pub(super) rest: OfRows,
    /// The picked column's element, and what the job says of it and of its row.
    pub(super) x: OfRows,
    pub(super) weight: OfRows,
    pub(super) upstream: OfRows,
    /// `log1p(rest)`
    pub(super) log_sum: OfRows,
    /// What the columns are multiplied by, and what the picked one is instead.
    pub(super) scale: OfRows,
    pub(super) own: OfRows,
}

impl Stats {
    pub(super) fn new() -> Self {
        let zeros = [0.0; ROWS];
        Self {
            max: zeros,
            rest: zeros,
            x: zeros,
            weight: [1.0; ROWS],
            upstream: zeros,
            log_sum: zeros,
            scale: zeros,
            own: zeros,
        }
    }

    /// Of rows from `first` on, in two sweeps: the maxima, then the sums. Each `exp(x - max)` is left
    /// in `exps`, unless that is empty.
    #[inline(always)]
    pub(super) fn of_rows<S: Simd>(
        &mut self,
        s: S,
        first: usize,
        (x, next): (&[f32], Next<'_>),
        classes: usize,
        exps: &mut [f32],
    ) {
        let (max, rest) = (&mut self.max[first..], &mut self.rest[first..]);
        for (max, x) in max.iter_mut().zip(x.chunks_exact(classes)) {
            *max = max_of(s, x);
        }
        for (row, x) in x.chunks_exact(classes).enumerate() {
            let at = row * classes;
            let exps = if exps.is_empty() { &mut [] } else { &mut exps[at..at + classes] };
            rest[row] = rest_of_short(s, x, next.from(at), max[row], exps);
        }
    }

    /// A row a lane. Left in `columns`, by columns: each `exp(x - max)`, or x if logarithms are
    /// wanted.
    #[inline(always)]
    pub(super) fn of_lanes<S: Simd>(
        &mut self,
        s: S,
        x: &[f32],
        classes: usize,
        wanted: Columns,
        columns: &mut [f32],
    ) {
        let one = s.splat(1.0);
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
            let (mut rest, mut others) = (s.splat(0.0), s.splat(0.0));
            for x in columns.chunks_exact_mut(S::LANES) {
                let v = s.load(x);
                let is_other = s.ne(v, max);
                // Where the maximum is infinite this is no number for the maximum itself.
                let e = exp_of_negative(s, s.sub(v, max));
                rest = s.add_where(is_other, rest, e);
                others = s.add_where(is_other, others, one);
                if wanted == Columns::Exps {
                    s.store(x, e);
                }
            }
            let ties = s.sub(s.splat(classes as f32), others);
            s.store(&mut self.max[block * S::LANES..], max);
            s.store(&mut self.rest[block * S::LANES..], s.add(rest, s.sub(ties, one)));
        }
    }

    /// What statistics come to.
    #[inline(always)]
    pub(super) fn finish<S: Simd, J: PlainRows>(
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
    pub(super) fn scale<S: Simd>(&self, s: S, classes: usize, out: &mut [f32]) {
        for (scale, out) in self.scale.iter().zip(out.chunks_exact_mut(classes)) {
            for out in out.chunks_mut(S::LANES) {
                let v = s.mul(load(s, out, 0.0), s.splat(*scale));
                store(s, out, v);
            }
        }
    }

    #[inline(always)]
    pub(super) fn write_exps<S: Simd, T: Lanes>(
        &self,
        s: S,
        exps: &[f32],
        classes: usize,
        out: &mut [T],
    ) {
        let rows = exps.chunks_exact(classes).zip(out.chunks_exact_mut(classes));
        for (scale, (exps, out)) in self.scale.iter().zip(rows) {
            for (out, e) in out.chunks_mut(S::LANES).zip(exps.chunks(S::LANES)) {
                store(s, out, s.mul(load(s, e, 0.0), s.splat(*scale)));
            }
        }
    }

    #[inline(always)]
    pub(super) fn write_logs<S: Simd, T: Lanes>(
        &self,
        s: S,
        x: &[f32],
        classes: usize,
        out: &mut [T],
    ) {
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
    pub(super) fn write_lanes<S: Simd>(
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
pub(super) fn max_of<S: Simd>(s: S, x: &[f32]) -> f32 {
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
    s.largest(s.max(max[0], max[1]))
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
    let mut sums = [Rest { rest: s.splat(0.0), others: 0 }; CHAINS];
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
    let [a, b] = sums;
    let rest = s.sum(s.add(a.rest, b.rest));
    // Lanes past the end are among the others: they hold -inf, which `max` never is.
    let lanes = x.len().next_multiple_of(S::LANES) as u32;
    let ties = lanes - (a.others + b.others);
    rest + (ties as f32 - 1.0)
}

/// The sum of the exponentials of what is not the maximum, and how many these are.
#[derive(Clone, Copy)]
struct Rest<F> {
    rest: F,
    others: u32,
}

impl<F: Copy> Rest<F> {
    /// Returns `exp(x - top)`.
    #[inline(always)]
    fn add<S: Simd<F = F>>(&mut self, s: S, x: F, top: F) -> F {
        let is_other = s.ne(x, top);
        // Where the maximum is infinite this is no number for the maximum itself.
        let e = exp_of_negative(s, s.sub(x, top));
        self.rest = s.add_where(is_other, self.rest, e);
        self.others += s.count(is_other);
        e
    }
}
