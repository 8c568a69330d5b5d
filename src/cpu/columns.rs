//! What is done along a row: its statistic, sums over its columns, a number for each column.

use half::{bf16, f16};

use crate::cpu::RowStat;
use crate::cpu::math::{exp_of_negative, log1p};
use crate::cpu::simd::{MAX_LANES, Simd};
use crate::dtype::Element;
use crate::matrix::Values;

/// Elements that one thread sweeps in one go. Longer rows are cut in two, so that the error of a sum
/// grows with the logarithm of the length, and so that threads can share a row.
const PIECE: usize = 1 << 16;
/// Vectors added up in f32 before their sum joins the others.
const RUN: usize = 128;
/// Independent sums, to hide the latency of additions and exponentials.
const CHAINS: usize = 4;
/// The longest row whose exponentials are kept between its two sweeps: it stays in the L1 cache.
pub(super) const SHORT: usize = 2048;
/// The longest row that lies in one lane, with others beside it.
const NARROW: usize = 32;
/// Rows that are swept together, if they are short.
pub(super) const GROUP: usize = 16;
/// Elements of such a group.
pub(super) const GROUPED: usize = 2048;
/// An element type, by vectors. The slices of `load`, `store` and `stream` hold a vector or more,
/// those of `load_tail` and `store_tail` fewer.
pub(super) trait Lanes: Element {
    fn values(x: &[Self]) -> Values<'_>;
    fn load<S: Simd>(s: S, x: &[Self]) -> S::F;
    fn store<S: Simd>(s: S, x: &mut [Self], v: S::F);
    /// `x` is aligned to its vector's size.
    fn stream<S: Simd>(s: S, x: &mut [Self], v: S::F) {
        Self::store(s, x, v);
    }
    #[inline(always)]
    fn load_tail<S: Simd>(s: S, x: &[Self], fill: f32) -> S::F {
        let mut lanes = [Self::from_f32(fill); MAX_LANES];
        lanes[..x.len()].copy_from_slice(x);
        Self::load(s, &lanes)
    }
    #[inline(always)]
    fn store_tail<S: Simd>(s: S, x: &mut [Self], v: S::F) {
        let mut lanes = [Self::zeroed(); MAX_LANES];
        Self::store(s, &mut lanes, v);
        x.copy_from_slice(&lanes[..x.len()]);
    }
}

impl Lanes for f32 {
    fn values(x: &[Self]) -> Values<'_> {
        x.into()
    }
    #[inline(always)]
    fn load<S: Simd>(s: S, x: &[Self]) -> S::F {
        s.load(x)
    }
    #[inline(always)]
    fn store<S: Simd>(s: S, x: &mut [Self], v: S::F) {
        s.store(x, v);
    }
    #[inline(always)]
    fn stream<S: Simd>(s: S, x: &mut [Self], v: S::F) {
        s.stream(x, v);
    }
    #[inline(always)]
    fn load_tail<S: Simd>(s: S, x: &[Self], fill: f32) -> S::F {
        s.load_tail(x, fill)
    }
    #[inline(always)]
    fn store_tail<S: Simd>(s: S, x: &mut [Self], v: S::F) {
        s.store_tail(x, v);
    }
}

impl Lanes for f16 {
    fn values(x: &[Self]) -> Values<'_> {
        x.into()
    }
    #[inline(always)]
    fn load<S: Simd>(s: S, x: &[Self]) -> S::F {
        s.load_f16(x)
    }
    #[inline(always)]
    fn store<S: Simd>(s: S, x: &mut [Self], v: S::F) {
        s.store_f16(x, v);
    }
    #[inline(always)]
    fn stream<S: Simd>(s: S, x: &mut [Self], v: S::F) {
        s.stream_f16(x, v);
    }
}

impl Lanes for bf16 {
    fn values(x: &[Self]) -> Values<'_> {
        x.into()
    }
    #[inline(always)]
    fn load<S: Simd>(s: S, x: &[Self]) -> S::F {
        s.load_bf16(x)
    }
    #[inline(always)]
    fn store<S: Simd>(s: S, x: &mut [Self], v: S::F) {
        s.store_bf16(x, v);
    }
    #[inline(always)]
    fn stream<S: Simd>(s: S, x: &mut [Self], v: S::F) {
        s.stream_bf16(x, v);
    }
}

impl Lanes for f64 {
    fn values(x: &[Self]) -> Values<'_> {
        x.into()
    }
    #[inline(always)]
    fn load<S: Simd>(s: S, x: &[Self]) -> S::F {
        let x = &x[..S::LANES];
        let mut lanes = [0.0; MAX_LANES];
        for (lane, x) in lanes.iter_mut().zip(x) {
            *lane = *x as f32;
        }
        s.load(&lanes)
    }
    #[inline(always)]
    fn store<S: Simd>(s: S, x: &mut [Self], v: S::F) {
        let mut lanes = [0.0; MAX_LANES];
        s.store(&mut lanes, v);
        for (x, lane) in x[..S::LANES].iter_mut().zip(lanes) {
            *x = Self::from(lane);
        }
    }
}

/// Some elements, a vector of them or fewer; lanes past them are `fill`.
#[inline(always)]
fn load<S: Simd, T: Lanes>(s: S, x: &[T], fill: f32) -> S::F {
    if x.len() >= S::LANES { T::load(s, x) } else { T::load_tail(s, x, fill) }
}

#[inline(always)]
pub(super) fn store<S: Simd, T: Lanes>(s: S, out: &mut [T], v: S::F) {
    if out.len() >= S::LANES { T::store(s, out, v) } else { T::store_tail(s, out, v) }
}

/// Calls `$body` with the slices of an input and of an output of the same dtype.
macro_rules! with_pair {
    ($values:expr, $out:expr, ($x:ident, $y:ident) => $body:expr) => {
        match ($values, $out) {
            ($crate::matrix::Values::F16($x), $crate::matrix::ValuesMut::F16($y)) => $body,
            ($crate::matrix::Values::Bf16($x), $crate::matrix::ValuesMut::Bf16($y)) => $body,
            ($crate::matrix::Values::F32($x), $crate::matrix::ValuesMut::F32($y)) => $body,
            ($crate::matrix::Values::F64($x), $crate::matrix::ValuesMut::F64($y)) => $body,
            _ => Err($crate::error::Error::InvalidInput {
                what: "output",
                reason: "has another dtype than the matrix".to_owned(),
            }),
        }
    };
}
pub(super) use with_pair;

/// How stores go: through the caches, or past them where the output is larger than they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stores {
    Cached,
    Streamed,
}

/// A row, or as many as lie next to each other: what is read, and what is written.
pub(super) enum Io<'a, T> {
    Read(&'a [T]),
    Separate(&'a [T], &'a mut [T]),
    InPlace(&'a mut [T]),
}

impl<T> Io<'_, T> {
    #[inline(always)]
    pub(super) fn input(&self) -> &[T] {
        match self {
            Self::Read(x) | Self::Separate(x, _) => x,
            Self::InPlace(x) => x,
        }
    }

    /// What is written; nothing if nothing is.
    #[inline(always)]
    pub(super) fn output(&mut self) -> &mut [T] {
        match self {
            Self::Read(_) => &mut [],
            Self::Separate(_, out) | Self::InPlace(out) => out,
        }
    }

    /// The same for a shorter time.
    pub(super) fn reborrow(&mut self) -> Io<'_, T> {
        match self {
            Self::Read(x) => Io::Read(x),
            Self::Separate(x, out) => Io::Separate(x, out),
            Self::InPlace(out) => Io::InPlace(out),
        }
    }

    /// Takes the first `len` elements off, no more than there are.
    #[inline(always)]
    pub(super) fn split_off(&mut self, len: usize) -> Self {
        match self {
            Self::Read(x) => Self::Read(x.split_off(..len).unwrap_or_default()),
            Self::Separate(x, out) => Self::Separate(
                x.split_off(..len).unwrap_or_default(),
                out.split_off_mut(..len).unwrap_or_default(),
            ),
            Self::InPlace(out) => Self::InPlace(out.split_off_mut(..len).unwrap_or_default()),
        }
    }
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
    pub(super) fn stat<T: Lanes>(self, x: &[T]) -> RowStat {
        let s = self.s;
        if x.len() <= SHORT {
            let mut stats = [RowStat::IDENTITY];
            self.stats(x, &[], &mut stats, &mut []);
            return stats[0];
        }
        if x.len() <= PIECE {
            return s.enable(
                #[inline(always)]
                || stat_of_piece(s, x),
            );
        }
        let (a, b) = x.split_at(middle(x.len()));
        let (a, b) = both(self.is_shared, || self.stat(a), || self.stat(b));
        a.combine(b)
    }

    /// The statistics of rows of up to [`SHORT`] columns. Each `exp(x - max)` is left in `exps`, unless
    /// that is empty. What comes `next` is asked for meanwhile.
    pub(super) fn stats<T: Lanes>(
        self,
        x: &[T],
        next: &[T],
        stats: &mut [RowStat],
        exps: &mut [f32],
    ) {
        let s = self.s;
        if x.len() / stats.len() <= NARROW {
            s.enable(
                #[inline(always)]
                || stats_by_lanes(s, x, stats, exps),
            );
        } else {
            s.enable(
                #[inline(always)]
                || stats_of_short(s, x, next, stats, exps),
            );
        }
    }

    /// Sets each `log1p(rest)`.
    pub(super) fn log_sums(self, stats: &[RowStat], log_sums: &mut [f32; GROUP]) {
        let s = self.s;
        for (log_sum, stat) in log_sums.iter_mut().zip(stats) {
            *log_sum = stat.rest();
        }
        s.enable(
            #[inline(always)]
            || {
                for log_sums in log_sums.chunks_exact_mut(S::LANES) {
                    s.store(log_sums, log1p(s, s.load(log_sums)));
                }
            },
        );
    }

    /// Multiplies by a number.
    pub(super) fn scale(self, x: &mut [f32], scale: f32) {
        let s = self.s;
        s.enable(
            #[inline(always)]
            || {
                for x in x.chunks_mut(S::LANES) {
                    let v = load(s, x, 0.0);
                    store(s, x, s.mul(v, s.splat(scale)));
                }
            },
        );
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
            |x| s.mul(exp_of_negative(s, s.sub(x, s.splat(max))), s.splat(scale)),
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

    /// The same of a short row, as f32.
    pub(super) fn logs<T: Lanes>(
        self,
        x: &[T],
        out: &mut [f32],
        max: f32,
        log_sum: f32,
        scale: f32,
    ) {
        let s = self.s;
        s.enable(
            #[inline(always)]
            || {
                for (out, x) in out.chunks_mut(S::LANES).zip(x.chunks(S::LANES)) {
                    let nll = s.add(s.sub(s.splat(max), load(s, x, 0.0)), s.splat(log_sum));
                    store(s, out, s.mul(s.splat(scale), nll));
                }
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

/// In two sweeps: the maxima, then the sums; rows after rows, so that none waits for another.
#[inline(always)]
fn stats_of_short<S: Simd, T: Lanes>(
    s: S,
    x: &[T],
    next: &[T],
    stats: &mut [RowStat],
    exps: &mut [f32],
) {
    let classes = x.len() / stats.len();
    for (stat, x) in stats.iter_mut().zip(x.chunks_exact(classes)) {
        *stat = RowStat::new(max_of_short(s, x), 0.0);
    }
    for (row, (stat, x)) in stats.iter_mut().zip(x.chunks_exact(classes)).enumerate() {
        let exps = if exps.is_empty() { &mut [] } else { &mut exps[row * classes..][..classes] };
        let next = next.get(row * classes..).unwrap_or_default();
        *stat = RowStat::new(stat.max(), rest_of_short(s, x, next, stat.max(), exps));
    }
}

#[inline(always)]
fn max_of_short<S: Simd, T: Lanes>(s: S, x: &[T]) -> f32 {
    let mut max = [s.splat(RowStat::IDENTITY.max()); CHAINS];
    let mut blocks = x.chunks_exact(CHAINS * S::LANES);
    for block in &mut blocks {
        for (max, x) in max.iter_mut().zip(block.chunks_exact(S::LANES)) {
            *max = s.max(T::load(s, x), *max);
        }
    }
    for x in blocks.remainder().chunks(S::LANES) {
        max[0] = s.max(load(s, x, f32::NEG_INFINITY), max[0]);
    }
    s.largest(s.max(s.max(max[0], max[1]), s.max(max[2], max[3])))
}

#[inline(always)]
fn rest_of_short<S: Simd, T: Lanes>(s: S, x: &[T], next: &[T], max: f32, exps: &mut [f32]) -> f32 {
    let top = s.splat(max);
    let mut sums = [Rest { rest: s.splat(0.0), ties: 0 }; CHAINS];
    let mut blocks = x.chunks_exact(CHAINS * S::LANES);
    let mut j = 0;
    if exps.is_empty() {
        for block in &mut blocks {
            for (sum, x) in sums.iter_mut().zip(block.chunks_exact(S::LANES)) {
                s.prefetch(next, j);
                sum.add(s, T::load(s, x), top);
                j += S::LANES;
            }
        }
    } else {
        let exps = exps.chunks_exact_mut(CHAINS * S::LANES);
        for (block, exps) in (&mut blocks).zip(exps) {
            let block = block.chunks_exact(S::LANES).zip(exps.chunks_exact_mut(S::LANES));
            for (sum, (x, exp)) in sums.iter_mut().zip(block) {
                s.prefetch(next, j);
                s.store(exp, sum.add(s, T::load(s, x), top));
                j += S::LANES;
            }
        }
    }
    let mut j = x.len() - blocks.remainder().len();
    while j < x.len() {
        let end = x.len().min(j + S::LANES);
        s.prefetch(next, j);
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
        self.rest = s.add(self.rest, s.select(is_top, s.splat(0.0), e));
        self.ties += s.count(is_top);
        s.select(is_top, s.splat(1.0), e)
    }
}

/// The same for narrow rows, a row a lane.
#[inline(always)]
fn stats_by_lanes<S: Simd, T: Lanes>(s: S, x: &[T], stats: &mut [RowStat], exps: &mut [f32]) {
    let classes = x.len() / stats.len();
    let (zero, one) = (s.splat(0.0), s.splat(1.0));
    let mut columns = [0.0f32; NARROW * MAX_LANES];
    for (group, stats) in stats.chunks_mut(S::LANES).enumerate() {
        let rows = group * S::LANES * classes..(group * S::LANES + stats.len()) * classes;
        // Lanes without a row keep what an earlier one left.
        for (lane, x) in x[rows.clone()].chunks_exact(classes).enumerate() {
            for (j, x) in x.iter().enumerate() {
                columns[j * S::LANES + lane] = x.to_f32();
            }
        }
        let columns = &mut columns[..classes * S::LANES];
        let mut max = s.splat(RowStat::IDENTITY.max());
        for x in columns.chunks_exact(S::LANES) {
            max = s.max(s.load(x), max);
        }
        let (mut rest, mut ties) = (zero, zero);
        for x in columns.chunks_exact_mut(S::LANES) {
            let v = s.load(x);
            let is_top = s.eq(v, max);
            let e = exp_of_negative(s, s.sub(v, max));
            rest = s.add(rest, s.select(is_top, zero, e));
            ties = s.add(ties, s.select(is_top, one, zero));
            s.store(x, s.select(is_top, one, e));
        }
        let (mut maxima, mut rests) = ([0.0; MAX_LANES], [0.0; MAX_LANES]);
        s.store(&mut maxima, max);
        s.store(&mut rests, s.add(rest, s.sub(ties, one)));
        for ((stat, max), rest) in stats.iter_mut().zip(maxima).zip(rests) {
            *stat = RowStat::new(max, rest);
        }
        if !exps.is_empty() {
            for (lane, exps) in exps[rows].chunks_exact_mut(classes).enumerate() {
                for (j, e) in exps.iter_mut().enumerate() {
                    *e = columns[j * S::LANES + lane];
                }
            }
        }
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

/// The first column with the largest number, the first of all where there is nothing but -inf and NaN.
pub(super) fn argmax<S: Simd>(s: S, x: &[f32]) -> usize {
    let max = s.enable(
        #[inline(always)]
        || max_of_short(s, x),
    );
    x.iter().position(|&x| x == max && max > f32::NEG_INFINITY).unwrap_or(0)
}
