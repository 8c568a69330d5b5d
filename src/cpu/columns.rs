//! What is done along a row: its statistic, sums over its columns, a number for each column.

use crate::cpu::RowStat;
use crate::cpu::groups::SHORT;
use crate::cpu::lanes::{Io, Lanes, load, store};
use crate::cpu::math::{exp, exp_of_negative, log1p};
use crate::cpu::short::{Next, max_of, rest_of_short};
use crate::cpu::simd::{MAX_LANES, Simd};

/// Elements that one thread sweeps in one go. Longer rows are cut in two, so that the error of a sum
/// grows with the logarithm of the length, and so that threads can share a row.
const PIECE: usize = 1 << 16;
/// Vectors added up in f32 before their sum joins the others.
const RUN: usize = 128;
/// Independent sums, to hide the latency of additions and exponentials.
const CHAINS: usize = 4;

/// How stores go: through the caches, or past them where the output is larger than they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stores {
    Cached,
    Streamed,
}

/// How rows are swept: with which vectors, whether other threads help with one row, and how what is
/// written goes to memory.
#[derive(Clone, Copy)]
pub(super) struct Sweep<S> {
    pub(super) s: S,
    pub(super) is_shared: bool,
    pub(super) stores: Stores,
}

/// Both, at once if other threads are to help.
fn both<A: Send, B: Send>(
    is_shared: bool,
    a: impl FnOnce() -> A + Send,
    b: impl FnOnce() -> B + Send,
) -> (A, B) {
    #[cfg(feature = "rayon")]
    if is_shared {
        return rayon::join(a, b);
    }
    let _ = is_shared;
    (a(), b())
}

impl<S: Simd> Sweep<S> {
    /// The statistic of a row.
    pub(super) fn stat(self, x: &[f32]) -> RowStat {
        let s = self.s;
        if x.len() <= SHORT {
            return s.enable(
                #[inline(always)]
                || {
                    let max = max_of(s, x);
                    RowStat::new(max, rest_of_short(s, x, Next::NOTHING, max, &mut []))
                },
            );
        }
        self.stat_of_long(x)
    }

    /// The statistic of `scale x`, for the first `columns` of a row that is whole vectors long: the
    /// maximum of x, and the sum of `exp(scale (x - max))` over all but one that holds it.
    pub(super) fn stat_scaled(self, x: &[f32], columns: usize, scale: f32) -> RowStat {
        if scale == 1.0 {
            return self.stat(&x[..columns]);
        }
        let (s, zero, one) = (self.s, self.s.splat(0.0), self.s.splat(1.0));
        let of_all = s.enable(
            #[inline(always)]
            || max_of(s, &x[..columns]),
        );
        let max = s.splat(of_all);
        let others = self.sum(
            columns,
            #[inline(always)]
            |j| {
                let x = s.load(&x[j..]);
                let e = exp(s, s.mul(s.splat(scale), s.sub(x, max)));
                s.select(s.eq(x, max), zero, e)
            },
        );
        let tops = self.sum(
            columns,
            #[inline(always)]
            |j| s.select(s.eq(s.load(&x[j..]), max), one, zero),
        );
        RowStat::new(of_all, (others + (tops - 1.0)) as f32)
    }

    /// The statistic of a row, in one sweep.
    pub(super) fn stat_of_long<T: Lanes>(self, x: &[T]) -> RowStat {
        let s = self.s;
        if x.len() <= PIECE {
            return s.enable(
                #[inline(always)]
                || stat_of_piece(s, x),
            );
        }
        let (a, b) = x.split_at(middle(x.len()));
        let (a, b) = both(self.is_shared, || self.stat_of_long(a), || self.stat_of_long(b));
        a.combine(b)
    }

    /// `log(1 + x)` of one number.
    pub(super) fn log1p(self, x: f32) -> f32 {
        let s = self.s;
        s.enable(
            #[inline(always)]
            || first(s, log1p(s, s.splat(x))),
        )
    }

    /// Writes `scale * exp(x - max)`.
    pub(super) fn write_exps<T: Lanes>(self, io: Io<'_, T>, max: f32, scale: f32) {
        let s = self.s;
        self.map(
            io,
            #[inline(always)]
            |x| s.mul(T::exp_of_negative(s, s.sub(x, s.splat(max))), s.splat(scale)),
        );
    }

    /// Writes `scale * ((max - x) + log_sum)`.
    pub(super) fn write_logs<T: Lanes>(self, io: Io<'_, T>, max: f32, log_sum: f32, scale: f32) {
        let s = self.s;
        self.map(
            io,
            #[inline(always)]
            |x| {
                let nll = s.add(s.sub(s.splat(max), x), s.splat(log_sum));
                s.mul(s.splat(scale), nll)
            },
        );
    }

    /// Writes `scale * x`, in another element type.
    pub(super) fn write_scaled<T: Lanes>(self, x: &[f32], out: &mut [T], scale: f32) {
        let s = self.s;
        s.enable(
            #[inline(always)]
            || {
                write(
                    self,
                    out,
                    #[inline(always)]
                    |j| s.mul(load(s, &x[j..], 0.0), s.splat(scale)),
                );
            },
        );
    }

    /// Writes `f` of each element; it is inlined twice.
    fn map<T: Lanes>(self, io: Io<'_, T>, f: impl Fn(S::F) -> S::F + Copy + Send + Sync) {
        let s = self.s;
        match io {
            Io::Read(_) => {}
            Io::Separate(x, out) if out.len() <= PIECE => {
                s.enable(
                    #[inline(always)]
                    || {
                        write(
                            self,
                            out,
                            #[inline(always)]
                            |j| f(load(s, &x[j..], 0.0)),
                        );
                    },
                );
            }
            Io::InPlace(out) if out.len() <= PIECE => s.enable(
                #[inline(always)]
                || {
                    for out in out.chunks_mut(S::LANES) {
                        let x = load(s, out, 0.0);
                        store(s, out, f(x));
                    }
                },
            ),
            mut io => {
                let a = io.split_off(middle(io.input().len()));
                both(self.is_shared, || self.map(a, f), || self.map(io, f));
            }
        }
    }

    /// The same elements as f32.
    pub(super) fn widen<T: Lanes>(self, x: &[T], out: &mut [f32]) {
        let s = self.s;
        s.enable(
            #[inline(always)]
            || {
                for (out, x) in out.chunks_mut(S::LANES).zip(x.chunks(S::LANES)) {
                    store(s, &mut out[..x.len()], load(s, x, 0.0));
                }
            },
        );
    }

    /// Whether all are in [0, 1]; -0 may be called odd.
    pub(super) fn are_plain_probs(self, q: &[f32]) -> bool {
        self.s.enable(
            #[inline(always)]
            || crate::op::are_plain_probs(q),
        )
    }

    /// The sum of what `f` gives for the columns from each number on; what it gives past `len` is
    /// left out.
    #[inline(always)]
    pub(super) fn sum(self, len: usize, f: impl Fn(usize) -> S::F + Copy + Send + Sync) -> f64 {
        self.sum_of(0, len, f)
    }

    fn sum_of(
        self,
        start: usize,
        end: usize,
        f: impl Fn(usize) -> S::F + Copy + Send + Sync,
    ) -> f64 {
        if end - start <= PIECE {
            return self.s.enable(
                #[inline(always)]
                || sum_of_piece(self.s, start, end, f),
            );
        }
        let middle = start + middle(end - start);
        let (a, b) =
            both(self.is_shared, || self.sum_of(start, middle, f), || self.sum_of(middle, end, f));
        a + b
    }

    /// Sets the columns of a row, whose length is a whole number of vectors, to what `f` gives for
    /// those from each number on.
    #[inline(always)]
    pub(super) fn fill(self, out: &mut [f32], f: impl Fn(usize) -> S::F + Copy + Send + Sync) {
        self.fill_from(0, out, f);
    }

    fn fill_from(
        self,
        start: usize,
        out: &mut [f32],
        f: impl Fn(usize) -> S::F + Copy + Send + Sync,
    ) {
        if out.len() <= PIECE {
            return self.s.enable(
                #[inline(always)]
                || {
                    for (i, out) in out.chunks_exact_mut(S::LANES).enumerate() {
                        self.s.store(out, f(start + i * S::LANES));
                    }
                },
            );
        }
        let middle = middle(out.len());
        let (a, b) = out.split_at_mut(middle);
        both(
            self.is_shared,
            || self.fill_from(start, a, f),
            || self.fill_from(start + middle, b, f),
        );
    }
}

/// Where a long row is cut: at a whole number of pieces.
fn middle(len: usize) -> usize {
    (len / 2).next_multiple_of(PIECE)
}

/// The first lane.
#[inline(always)]
pub(super) fn first<S: Simd>(s: S, v: S::F) -> f32 {
    let mut lanes = [0.0; MAX_LANES];
    s.store(&mut lanes, v);
    lanes[0]
}

/// Writes what `f` gives for the columns from each number on.
#[inline(always)]
fn write<S: Simd, T: Lanes>(sweep: Sweep<S>, out: &mut [T], f: impl Fn(usize) -> S::F) {
    let s = sweep.s;
    let mut done = 0;
    let to_aligned = out.as_ptr().align_offset(S::LANES * size_of::<T>());
    if sweep.stores == Stores::Streamed && to_aligned < S::LANES && out.len() > 2 * S::LANES {
        if to_aligned > 0 {
            T::store_tail(s, &mut out[..to_aligned], f(0));
            done = to_aligned;
        }
        while out.len() - done >= S::LANES {
            T::stream(s, &mut out[done..done + S::LANES], f(done));
            done += S::LANES;
        }
    }
    while done < out.len() {
        let end = out.len().min(done + S::LANES);
        store(s, &mut out[done..end], f(done));
        done = end;
    }
}

/// In one sweep: a statistic for each lane, combined at the end.
///
/// Of a lane's maximum and an element the larger is the maximum and the smaller goes into the sum:
/// one instance of the maximum is never in it.
#[inline(always)]
fn stat_of_piece<S: Simd, T: Lanes>(s: S, x: &[T]) -> RowStat {
    let zero = s.splat(0.0);
    let (mut max, mut rest) = (s.splat(RowStat::IDENTITY.max()), s.splat(RowStat::IDENTITY.rest()));
    for x in x.chunks(RUN * S::LANES) {
        let mut run = [zero; CHAINS];
        let mut blocks = x.chunks_exact(CHAINS * S::LANES);
        for block in &mut blocks {
            let mut low = [zero; CHAINS];
            let mut high = max;
            for (low, x) in low.iter_mut().zip(block.chunks_exact(S::LANES)) {
                let x = T::load(s, x);
                *low = s.min(high, x);
                high = s.max(x, high);
            }
            if s.any(s.lt(max, high)) {
                let scale = exp_of_negative(s, s.sub(max, high));
                rest = s.mul(rest, scale);
                for run in &mut run {
                    *run = s.mul(*run, scale);
                }
                max = high;
            }
            for (run, low) in run.iter_mut().zip(low) {
                *run = s.add(*run, exp_of_negative(s, s.sub(low, max)));
            }
        }
        rest = s.add(rest, s.add(s.add(run[0], run[1]), s.add(run[2], run[3])));
        for x in blocks.remainder().chunks(S::LANES) {
            let x = load(s, x, f32::NEG_INFINITY);
            let (low, high) = (s.min(max, x), s.max(x, max));
            rest = s.add(
                s.mul(rest, exp_of_negative(s, s.sub(max, high))),
                exp_of_negative(s, s.sub(low, high)),
            );
            max = high;
        }
    }
    let stat = combine_lanes(s, max, rest);
    if stat.max() == f32::INFINITY {
        // The difference of two infinities is no number, though both are.
        let is_nan = x.iter().any(|x| x.to_f32().is_nan());
        return RowStat::new(f32::INFINITY, if is_nan { f32::NAN } else { 0.0 });
    }
    stat
}

#[inline(always)]
fn combine_lanes<S: Simd>(s: S, max: S::F, rest: S::F) -> RowStat {
    let (zero, one) = (s.splat(0.0), s.splat(1.0));
    let largest = s.largest(max);
    let top = s.splat(largest);
    let is_top = s.eq(max, top);
    let e = exp_of_negative(s, s.sub(max, top));
    let scaled = s.select(is_top, rest, s.mul(s.add(one, rest), e));
    RowStat::new(largest, s.sum(scaled) + (s.sum(s.select(is_top, one, zero)) - 1.0))
}

#[inline(always)]
fn sum_of_piece<S: Simd>(s: S, start: usize, end: usize, f: impl Fn(usize) -> S::F) -> f64 {
    let (mut start, mut sum) = (start, 0.0);
    while start < end {
        let next = end.min(start + RUN * S::LANES);
        let mut run = s.splat(0.0);
        while start < next {
            let mut v = f(start);
            if next - start < S::LANES {
                let lane = s.load(&std::array::from_fn::<f32, MAX_LANES, _>(|i| i as f32));
                v = s.select(s.lt(lane, s.splat((next - start) as f32)), v, s.splat(0.0));
            }
            run = s.add(run, v);
            start += S::LANES;
        }
        sum += f64::from(s.sum(run));
        start = next;
    }
    sum
}

/// The first column with the largest number; none where there is nothing but -inf and NaN.
pub(super) fn argmax<S: Simd>(s: S, x: &[f32]) -> Option<usize> {
    let max = s.enable(
        #[inline(always)]
        || max_of(s, x),
    );
    x.iter().position(|&x| x == max)
}
