//! A row of cross-entropy with options.

use super::Options;
use super::chain::Norm;
use crate::cpu::columns::{Sweep, argmax, first};
use crate::cpu::math::exp;
use crate::cpu::simd::Simd;
use crate::cpu::{select_times, times};
use crate::op::Metrics;

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

/// A kept row of a batch with options.
#[derive(Clone, Copy)]
pub(super) struct Row<'a, S> {
    pub(super) options: &'a Options<'a>,
    pub(super) sweep: Sweep<S>,
    pub(super) label: Label<'a>,
    pub(super) x: &'a [f32],
    pub(super) z: &'a [f32],
    pub(super) norm: Norm,
}

impl<S: Simd> Row<'_, S> {
    #[inline(always)]
    fn nll(&self, j: usize) -> S::F {
        let s = self.sweep.s;
        self.norm.nll(s, s.load(&self.z[j..]))
    }

    fn nll_of(&self, class: usize) -> f32 {
        match self.norm.0 {
            Some((stat, log_sum)) => (stat.max() - self.z[class]) + log_sum,
            None => -self.z[class],
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
    fn total(&self, q: &[f32]) -> f32 {
        let classes = self.options.classes;
        let total = self.sweep.sum(
            classes,
            #[inline(always)]
            |j| self.part(q, j),
        ) as f32;
        let is_read = self.norm.0.is_some() || !self.z[..classes].contains(&f32::INFINITY);
        if total.is_finite() && is_read { total } else { f32::NAN }
    }

    /// Formulas (7), (12), (15) and (17).
    pub(super) fn result(&self) -> RowResult {
        let Self { options, sweep, norm, .. } = *self;
        let (s, op, classes) = (sweep.s, options.op, options.classes);
        let cross = match self.label {
            Label::Class(y) => {
                times(options.keep * options.weight_of(y), self.nll_of(y)) + self.smoothing()
            }
            Label::Probs(q) if self.total(q).is_finite() => sweep.sum(
                classes,
                #[inline(always)]
                |j| select_times(s, self.part(q, j), self.nll(j)),
            ) as f32,
            Label::Probs(_) => f32::NAN,
        };
        let lse = norm.lse();
        let loss = options.unit * (cross + times(op.z_loss() as f32, lse * lse));
        let loss = if norm.is_defined() { loss } else { f32::NAN };
        if !op.has_metrics() {
            return RowResult { loss, lse, ..RowResult::IGNORED };
        }
        let best = self.best();
        let (nll, correct) = match self.label {
            Label::Class(y) => (self.nll_of(y), best == y),
            Label::Probs(q) => {
                let nll = sweep.sum(
                    classes,
                    #[inline(always)]
                    |j| select_times(s, s.load(&q[j..]), self.nll(j)),
                );
                (nll as f32, best == argmax(s, &q[..classes]))
            }
        };
        RowResult { loss, lse, nll, argmax: Metrics::column(best), correct }
    }

    /// The best column, ranked before softcap and clamp make elements equal.
    fn best(&self) -> usize {
        let (s, x) = (self.sweep.s, &self.x[..self.options.classes]);
        match self.options.op.logit_scale() {
            scale if scale > 0.0 => argmax(s, x),
            scale if scale < 0.0 => argmax(s, &x.iter().map(|x| -x).collect::<Vec<_>>()),
            _ => argmax(s, &x.iter().map(|x| x * 0.0).collect::<Vec<_>>()),
        }
    }

    /// `(e / C) sum_j w_j nll_j`, formula (12).
    fn smoothing(&self) -> f32 {
        let Self { options, sweep, z, .. } = *self;
        let (Some((stat, log_sum)), true) = (self.norm.0, options.smooth_class != 0.0) else {
            return 0.0;
        };
        let s = sweep.s;
        let spread = sweep.sum(
            options.classes,
            #[inline(always)]
            |j| {
                let distance = s.sub(s.splat(stat.max()), s.load(&z[j..]));
                select_times(s, options.weight(s, j), distance)
            },
        );
        options.smooth_class * spread as f32 + options.smooth_sum * log_sum
    }

    /// Twice `z_loss` times the log-sum-exp.
    fn z_slope(&self) -> f32 {
        let z_loss = 2.0 * self.options.op.z_loss() as f32;
        self.norm.0.map_or(0.0, |(stat, _)| times(z_loss, stat.lse()))
    }

    /// dloss (A p - a) and the chain's slope: formula (16).
    pub(super) fn probs_columns(&self, q: &[f32], dloss: f32, out: &mut [f32]) {
        let Self { options, sweep, x, z, norm, .. } = *self;
        let s = sweep.s;
        let total = self.total(q);
        // A NaN or an infinity among the probabilities is the whole row's.
        let dloss = if total.is_finite() { dloss } else { f32::NAN };
        let z_slope = self.z_slope();
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

    /// dloss (A p - B onehot - k w) and the chain's slope: formulas (8) and (13).
    pub(super) fn class_columns(&self, y: usize, dloss: f32, out: &mut [f32]) {
        let Self { options, sweep, x, z, norm, .. } = *self;
        let (s, chain) = (sweep.s, options.chain);
        let own = options.keep * options.weight_of(y);
        let (slope_y, p, p_minus_1) = s.enable(
            #[inline(always)]
            || {
                let (p, p_minus_1) = norm.p(s, s.splat(z[y]));
                (first(s, chain.slope(s, s.splat(x[y]))), first(s, p), first(s, p_minus_1))
            },
        );
        let Some((stat, _)) = norm.0 else {
            out.fill(if dloss.is_nan() { dloss } else { 0.0 });
            out[y] = dloss * times(-own, slope_y);
            return;
        };
        let more = options.smooth_sum + self.z_slope();
        let scale = dloss * (own + more) / stat.sum();
        let shift = dloss * options.smooth_class;
        sweep.fill(
            out,
            #[inline(always)]
            |j| {
                let e = exp(s, s.sub(s.load(&z[j..]), s.splat(stat.max())));
                let dz =
                    s.sub(s.mul(e, s.splat(scale)), s.mul(s.splat(shift), options.weight(s, j)));
                s.mul(dz, chain.slope(s, s.load(&x[j..])))
            },
        );
        let dz = own * p_minus_1 + more * p - options.smooth_class * options.weight_of(y);
        out[y] = dloss * dz * slope_y;
    }
}
