//! A row of cross-entropy with options.

use super::Options;
use super::chain::Norm;
use super::seen::{Seen, Target};
use crate::cpu::columns::{Sweep, argmax, first};
use crate::cpu::math::exp;
use crate::cpu::simd::Simd;
use crate::cpu::{RowStat, select_times, times};
use crate::op::{InputForm, Metrics};

/// What a row comes to.
#[derive(Clone)]
pub(super) struct RowResult {
    pub(super) loss: f32,
    pub(super) lse: f32,
    pub(super) nll: f32,
    pub(super) argmax: i64,
    pub(super) correct: bool,
}

impl RowResult {
    pub(super) const IGNORED: Self =
        Self { loss: 0.0, lse: 0.0, nll: 0.0, argmax: -1, correct: false };
}

/// A row's target.
#[derive(Clone, Copy)]
pub(super) enum Label<'a> {
    Class(usize),
    Probs(&'a [f32]),
}

/// Columns of a kept row of a batch with options: all of them, or a block.
#[derive(Clone, Copy)]
pub(super) struct Row<'a, S> {
    pub(super) options: &'a Options<'a>,
    pub(super) sweep: Sweep<S>,
    pub(super) span: Span,
    pub(super) x: &'a [f32],
    pub(super) z: &'a [f32],
}

/// Which columns: the class of the first, how many they are, and what they weigh together.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub(super) first: usize,
    pub(super) columns: usize,
    pub(super) weight: f64,
}

/// The column formula of a row whose target is a class: `dloss (A p - B onehot - k w)`.
pub(super) struct ClassColumns {
    /// None of a row that is normalised already, whose other columns are all `scale`.
    max: Option<f32>,
    scale: f32,
    shift: f32,
    /// The target, and its element, which has digits that the formula would lose.
    target: usize,
    own: f32,
}

impl<S: Simd> Row<'_, S> {
    /// The statistic, unless the row is normalised already.
    pub(super) fn stat(&self) -> Option<RowStat> {
        let is_logits = self.options.op.form() == InputForm::Logits;
        is_logits.then(|| self.sweep.stat_scaled(self.z, self.span.columns, self.options.z_scale))
    }

    /// What these columns say of a row with the target `y`.
    pub(super) fn seen(&self, y: usize) -> Seen {
        let Self { options, sweep, span, x, z } = *self;
        let Span { first, columns, weight } = span;
        let (s, stat) = (sweep.s, self.stat());
        let spread = match stat {
            Some(stat) if options.smooth_class != 0.0 => sweep.sum(
                columns,
                #[inline(always)]
                |j| {
                    let distance = s.sub(s.splat(stat.max()), s.load(&z[j..]));
                    select_times(s, options.weight(s, first + j), distance)
                },
            ),
            _ => 0.0,
        };
        let best = if options.op.has_metrics() { self.best() } else { None };
        let at = y.checked_sub(first).filter(|&j| j < columns);
        let target = at.map(|j| Target { x: x[j], z: z[j] });
        Seen { stat, weight, spread, best, target }
    }

    /// The best column and its rank: before softcap and clamp make elements equal.
    fn best(&self) -> Option<(f32, usize)> {
        let (s, x) = (self.sweep.s, &self.x[..self.span.columns]);
        let scaled: Vec<f32>;
        let ranks = match self.options.op.logit_scale() {
            scale if scale > 0.0 => x,
            scale => {
                let sign = if scale < 0.0 { -1.0 } else { 0.0 };
                scaled = x.iter().map(|x| x * sign).collect();
                &scaled
            }
        };
        argmax(s, ranks).map(|j| (ranks[j], self.span.first + j))
    }

    /// Formulas (8) and (13).
    pub(super) fn class_columns(&self, of: &ClassColumns, out: &mut [f32]) {
        let Self { options, sweep, span, x, z } = *self;
        let (s, chain, first) = (sweep.s, options.chain, span.first);
        if let Some(max) = of.max {
            sweep.fill(
                out,
                #[inline(always)]
                |j| {
                    let distance = s.sub(s.load(&z[j..]), s.splat(max));
                    let e = exp(s, s.mul(s.splat(options.z_scale), distance));
                    let share = s.mul(s.splat(of.shift), options.weight(s, first + j));
                    let dz = s.sub(s.mul(e, s.splat(of.scale)), share);
                    s.mul(dz, chain.slope(s, s.load(&x[j..])))
                },
            );
        } else {
            out.fill(of.scale);
        }
        if let Some(j) = of.target.checked_sub(first).filter(|&j| j < span.columns) {
            out[j] = of.own;
        }
    }

    /// The part of a class in a row's loss with probability targets: `w_j ((1 - e) q_j + e / C)`.
    #[inline(always)]
    fn part(&self, q: &[f32], j: usize) -> S::F {
        let (s, options) = (self.sweep.s, self.options);
        let share = s.fma(s.splat(options.keep), s.load(&q[j..]), s.splat(options.smooth_class));
        s.mul(options.weight(s, j), share)
    }

    /// What the labels of a row with probability targets come to; NaN if the row has no loss for
    /// them: every column is read, and a +inf among log-probabilities is the whole row's.
    fn total(&self, norm: Norm, q: &[f32]) -> f32 {
        let total = self.sweep.sum(
            self.span.columns,
            #[inline(always)]
            |j| self.part(q, j),
        ) as f32;
        let is_read = norm.0.is_some() || !self.z[..self.span.columns].contains(&f32::INFINITY);
        if total.is_finite() && is_read { total } else { f32::NAN }
    }

    /// Formulas (15) and (17).
    pub(super) fn probs_result(&self, norm: Norm, q: &[f32]) -> RowResult {
        let Self { options, sweep, z, .. } = *self;
        let (s, columns) = (sweep.s, self.span.columns);
        let cross = if self.total(norm, q).is_finite() {
            sweep.sum(
                columns,
                #[inline(always)]
                |j| select_times(s, self.part(q, j), norm.nll(s, s.load(&z[j..]))),
            ) as f32
        } else {
            f32::NAN
        };
        let result = options.result(norm, cross);
        if !options.op.has_metrics() {
            return result;
        }
        let nll = sweep.sum(
            columns,
            #[inline(always)]
            |j| select_times(s, s.load(&q[j..]), norm.nll(s, s.load(&z[j..]))),
        );
        let best = self.best().map_or(0, |(_, column)| column);
        let correct = best == argmax(s, &q[..columns]).unwrap_or(0);
        RowResult { nll: nll as f32, argmax: Metrics::column(best), correct, ..result }
    }

    /// dloss (A p - a) and the chain's slope: formula (16).
    pub(super) fn probs_columns(&self, norm: Norm, q: &[f32], dloss: f32, out: &mut [f32]) {
        let Self { options, sweep, x, z, .. } = *self;
        let s = sweep.s;
        let total = self.total(norm, q);
        // A NaN or an infinity among the probabilities is the whole row's.
        let dloss = if total.is_finite() { dloss } else { f32::NAN };
        let z_slope = options.z_slope(norm);
        sweep.fill(
            out,
            #[inline(always)]
            |j| {
                let part = self.part(q, j);
                let (p, p_minus_1) = norm.p(s, s.load(&z[j..]));
                // A p - a, with nothing cancelled where a is all of A.
                let others = s.mul(s.sub(s.splat(total), part), p);
                let dz = s.add(s.fma(part, p_minus_1, others), s.mul(s.splat(z_slope), p));
                let slope = options.chain.slope(s, s.load(&x[j..]));
                s.mul(s.splat(dloss), select_times(s, dz, slope))
            },
        );
    }
}

impl Options<'_> {
    fn result(&self, norm: Norm, cross: f32) -> RowResult {
        let lse = norm.lse();
        let loss = self.unit * (cross + times(self.op.z_loss() as f32, lse * lse));
        let loss = if norm.is_defined() { loss } else { f32::NAN };
        RowResult { loss, lse, ..RowResult::IGNORED }
    }

    /// Of a row whose columns were all seen: formulas (7), (12) and (17).
    pub(super) fn class_result(&self, norm: Norm, seen: &Seen, y: usize) -> RowResult {
        let nll = norm.nll_of(seen.target().z);
        let own = times(self.keep * self.weight_of(y), nll);
        let result = self.result(norm, own + self.smoothing(norm, seen));
        if !self.op.has_metrics() {
            return result;
        }
        let best = seen.best.map_or(0, |(_, column)| column);
        RowResult { nll, argmax: Metrics::column(best), correct: best == y, ..result }
    }

    /// `(e / C) sum_j w_j nll_j`, formula (12).
    fn smoothing(&self, norm: Norm, seen: &Seen) -> f32 {
        match norm.0 {
            Some((_, log_sum)) if self.smooth_class != 0.0 => {
                let spread = (f64::from(self.z_scale) * seen.spread) as f32;
                self.smooth_class * spread + self.smooth_sum * log_sum
            }
            _ => 0.0,
        }
    }

    /// Twice `z_loss` times the log-sum-exp.
    fn z_slope(&self, norm: Norm) -> f32 {
        let z_loss = 2.0 * self.op.z_loss() as f32;
        if z_loss == 0.0 { 0.0 } else { norm.lse_times(z_loss) }
    }

    /// Of a row whose columns were all seen: formulas (8) and (13).
    pub(super) fn class_columns<S: Simd>(
        &self,
        sweep: Sweep<S>,
        norm: Norm,
        seen: &Seen,
        (y, dloss): (usize, f32),
    ) -> ClassColumns {
        let (s, Target { x, z }) = (sweep.s, seen.target());
        let own = self.keep * self.weight_of(y);
        let (slope_y, p, p_minus_1) = s.enable(
            #[inline(always)]
            || {
                let (p, p_minus_1) = norm.p(s, s.splat(z));
                (first(s, self.chain.slope(s, s.splat(x))), first(s, p), first(s, p_minus_1))
            },
        );
        let Some((stat, _)) = norm.0 else {
            let own = dloss * times(-own, slope_y);
            let scale = if dloss.is_nan() { dloss } else { 0.0 };
            return ClassColumns { max: None, scale, shift: 0.0, target: y, own };
        };
        let more = self.smooth_sum + self.z_slope(norm);
        let dz = own * p_minus_1 + more * p - self.smooth_class * self.weight_of(y);
        ClassColumns {
            max: Some(stat.max()),
            scale: dloss * (own + more) / stat.sum(),
            shift: dloss * self.smooth_class,
            target: y,
            own: dloss * dz * slope_y,
        }
    }
}
