//! Divergences between two batches, formulas (19) and (20).

use crate::cpu::columns::Sweep;
use crate::cpu::lanes::Io;
use crate::cpu::math::{exp, log, log1p};
use crate::cpu::rows::{Rows, Work, for_each_row};
use crate::cpu::simd::{InstructionSet, Simd};
use crate::cpu::{Dloss, RowStat, reduce, select_times, zeros};
use crate::error::Result;
use crate::matrix::{Array, Values, with_values};
use crate::op::{
    DivergenceInput, DivergenceKind, DivergenceOutput, DivergenceSpec, InputForm, Mixture, counts,
    kept, split_scale,
};

pub(crate) fn divergence(
    set: InstructionSet,
    spec: &DivergenceSpec,
    input: &DivergenceInput<'_>,
) -> Result<DivergenceOutput> {
    spec.validate(input)?;
    let (rows, classes) = (input.student.rows(), input.student.columns());
    let common = spec.common;
    let divisor = common.divisor(kept(input.mask, rows) as f64);
    let job = Divergences {
        spec,
        teacher: input.teacher.values(),
        mask: input.mask,
        dloss: Dloss::of(input.upstream, common.reduction, divisor, common.unit),
        unit: common.unit.per_nat() as f32,
    };
    let mut results = bytemuck::zeroed_vec(rows);
    let dstudent = with_values!(input.student.values(), x => {
        let mut dstudent = Vec::new();
        if common.gradient {
            dstudent = zeros(x.len())?;
            for_each_row(set, &job, classes, Io::Separate(x, &mut dstudent), &mut results);
        } else {
            for_each_row(set, &job, classes, Io::Read(x), &mut results);
        }
        common.gradient.then(|| dstudent.into())
    });
    let (losses, lse) = results.into_iter().map(|[loss, lse]: [f32; 2]| (loss, lse)).unzip();
    Ok(DivergenceOutput {
        loss: reduce(losses, common.reduction, divisor),
        lse: Array::F32(lse),
        dstudent,
    })
}

struct Divergences<'a> {
    spec: &'a DivergenceSpec,
    teacher: Values<'a>,
    mask: Option<&'a [bool]>,
    dloss: Dloss,
    unit: f32,
}

/// The logarithms of a row's probabilities, and what keeps the digits of a confident one.
#[derive(Clone, Copy)]
struct LogProbs<'a, S> {
    s: S,
    classes: usize,
    z: &'a [f32],
    /// The statistic and `log1p(rest)`; none if z are log-probabilities already.
    stat: Option<(RowStat, f32)>,
    /// What distances between z are multiplied by.
    scale: f32,
}

impl<S: Simd> LogProbs<'_, S> {
    fn is_defined(&self) -> bool {
        match self.stat {
            Some((stat, _)) => stat.is_defined(),
            None => !self.z[..self.classes].iter().any(|log_p| log_p.is_nan()),
        }
    }

    #[inline(always)]
    fn log_p(&self, j: usize) -> S::F {
        let (s, z) = (self.s, self.s.load(&self.z[j..]));
        match self.stat {
            Some((stat, log_sum)) => {
                let distance = s.mul(s.splat(self.scale), s.sub(z, s.splat(stat.max())));
                s.sub(distance, s.splat(log_sum))
            }
            None => z,
        }
    }

    #[inline(always)]
    fn p(&self, j: usize) -> S::F {
        let (s, z) = (self.s, self.s.load(&self.z[j..]));
        match self.stat {
            Some((stat, _)) => {
                let distance = s.mul(s.splat(self.scale), s.sub(z, s.splat(stat.max())));
                s.mul(exp(s, distance), s.splat(1.0 / stat.sum()))
            }
            None => exp(s, z),
        }
    }

    /// Whether a class has no probability at all.
    #[inline(always)]
    fn is_none(&self, j: usize) -> S::M {
        let s = self.s;
        s.eq(s.load(&self.z[j..]), s.splat(f32::NEG_INFINITY))
    }

    /// 1 - p where p is above one half: there it has more digits than p; NaN elsewhere.
    #[inline(always)]
    fn miss(&self, j: usize) -> S::F {
        let (s, nowhere) = (self.s, self.s.splat(f32::NAN));
        match self.stat {
            Some((stat, _)) if stat.rest() < 1.0 => {
                let is_top = s.eq(s.load(&self.z[j..]), s.splat(stat.max()));
                s.select(is_top, s.splat(stat.rest() / stat.sum()), nowhere)
            }
            _ => nowhere,
        }
    }

    /// The part of a class in KL(self || other).
    #[inline(always)]
    fn term(&self, other: &Self, j: usize) -> S::F {
        let s = self.s;
        let (a, b, infinity) = (self.log_p(j), other.log_p(j), s.splat(f32::INFINITY));
        // Where only p underflowed, what it stands for may still be infinitely surprising.
        let term = select_times(s, self.p(j), s.sub(a, b));
        let term = s.select(other.is_none(j), infinity, term);
        s.select(self.is_none(j), s.splat(0.0), term)
    }

    /// The part of a class in KL(self || M), M the mixture of both, by this side's own share of it:
    /// beta P (-log beta - softplus(log Q - log P + shift)) of the teacher.
    #[inline(always)]
    fn term_to_mixture(&self, other: &Self, j: usize, of: Side) -> S::F {
        let s = self.s;
        let zero = s.splat(0.0);
        let d = s.add(s.sub(other.log_p(j), self.log_p(j)), s.splat(of.shift));
        let above = s.select(s.lt(d, zero), zero, d);
        let softplus = s.add(log1p(s, exp(s, s.neg(s.abs(d)))), above);
        let log_ratio = s.sub(s.splat(of.log), softplus);
        s.mul(s.splat(of.share), select_times(s, self.p(j), log_ratio))
    }
}

/// A side of a [`Mixture`]: its share, minus the share's logarithm, and how far the other's logarithm moves.
#[derive(Clone, Copy)]
struct Side {
    share: f32,
    log: f32,
    shift: f32,
}

/// The teacher's side and the student's.
fn sides(mixture: &Mixture) -> [Side; 2] {
    let side =
        |share, log, shift| Side { share: share as f32, log: log as f32, shift: shift as f32 };
    [
        side(mixture.teacher, mixture.log_teacher, mixture.shift),
        side(mixture.student, mixture.log_student, -mixture.shift),
    ]
}

/// A row of both batches.
struct Pair<'a, S> {
    teacher: LogProbs<'a, S>,
    student: LogProbs<'a, S>,
}

impl Rows for Divergences<'_> {
    /// The loss and the student's log-sum-exp.
    type Result = [f32; 2];

    fn counts(&self, row: usize) -> bool {
        counts(self.mask, row)
    }

    fn row<S: Simd>(&self, sweep: Sweep<S>, row: usize, work: &mut Work, result: &mut [f32; 2]) {
        let Work { classes, x, out, a, b } = work;
        let columns = row * *classes..(row + 1) * *classes;
        with_values!(self.teacher, teacher => sweep.widen(&teacher[columns], a));
        self.prepare(sweep, self.spec.teacher, a, b);
        let teacher = self.normalize(sweep, self.spec.teacher, *classes, b);
        self.prepare(sweep, InputForm::Logits, x, a);
        let student = self.normalize(sweep, InputForm::Logits, *classes, a);
        let pair = Pair { teacher, student };
        let loss = self.loss(sweep, &pair);
        let lse = student.stat.map_or(0.0, |(stat, _)| stat.lse_scaled(student.scale));
        *result = [self.unit * loss, lse];
        if self.spec.common.gradient {
            let scale = self.dloss.at(row) / self.spec.temperature as f32;
            self.columns(sweep, &pair, loss, scale, out);
        }
    }
}

impl Divergences<'_> {
    fn normalize<'z, S: Simd>(
        &self,
        sweep: Sweep<S>,
        form: InputForm,
        classes: usize,
        z: &'z [f32],
    ) -> LogProbs<'z, S> {
        let (_, scale) = split_scale(1.0 / self.spec.temperature);
        let scale = scale as f32;
        let stat = (form == InputForm::Logits).then(|| sweep.stat_scaled(z, classes, scale));
        let stat = stat.map(|stat| (stat, sweep.log1p(stat.rest())));
        LogProbs { s: sweep.s, classes, z, stat, scale }
    }

    /// Logits over the temperature unless that is below 1, or the logarithms of probabilities.
    fn prepare<S: Simd>(&self, sweep: Sweep<S>, form: InputForm, x: &[f32], z: &mut [f32]) {
        let (s, temperature) = (sweep.s, self.spec.temperature as f32);
        match form {
            InputForm::Logits if temperature > 1.0 => {
                sweep.fill(
                    z,
                    #[inline(always)]
                    |j| s.div(s.load(&x[j..]), s.splat(temperature)),
                );
            }
            InputForm::Probs => sweep.fill(
                z,
                #[inline(always)]
                |j| log(s, s.load(&x[j..])),
            ),
            _ => z.copy_from_slice(x),
        }
    }

    fn loss<S: Simd>(&self, sweep: Sweep<S>, pair: &Pair<'_, S>) -> f32 {
        let Pair { teacher, student } = pair;
        if !(teacher.is_defined() && student.is_defined()) {
            return f32::NAN;
        }
        let (s, classes) = (sweep.s, student.classes);
        let sum = match self.spec.kind {
            DivergenceKind::Kl => sweep.sum(
                classes,
                #[inline(always)]
                |j| teacher.term(student, j),
            ),
            DivergenceKind::ReverseKl => sweep.sum(
                classes,
                #[inline(always)]
                |j| student.term(teacher, j),
            ),
            DivergenceKind::Js(mixture) => {
                let [of_p, of_q] = sides(&mixture);
                sweep.sum(
                    classes,
                    #[inline(always)]
                    |j| {
                        s.add(
                            teacher.term_to_mixture(student, j, of_p),
                            student.term_to_mixture(teacher, j, of_q),
                        )
                    },
                )
            }
        };
        sum as f32
    }

    fn columns<S: Simd>(
        &self,
        sweep: Sweep<S>,
        pair: &Pair<'_, S>,
        loss: f32,
        scale: f32,
        out: &mut [f32],
    ) {
        let Pair { teacher, student } = pair;
        let (s, classes) = (sweep.s, student.classes);
        match self.spec.kind {
            DivergenceKind::Kl => {
                let total = match teacher.stat {
                    Some(_) => 1.0,
                    None => sweep.sum(
                        classes,
                        #[inline(always)]
                        |j| teacher.p(j),
                    ) as f32,
                };
                sweep.fill(
                    out,
                    #[inline(always)]
                    |j| {
                        let plain = s.sub(s.mul(student.p(j), s.splat(total)), teacher.p(j));
                        // Q - P = (1 - P) - (1 - Q): a confident pair keeps its digits.
                        let sure = s.sub(teacher.miss(j), student.miss(j));
                        s.mul(s.splat(scale), s.select(s.eq(sure, sure), sure, plain))
                    },
                );
            }
            DivergenceKind::ReverseKl if !loss.is_finite() => out.fill(f32::NAN),
            DivergenceKind::ReverseKl => sweep.fill(
                out,
                #[inline(always)]
                |j| {
                    let ratio = s.sub(student.log_p(j), teacher.log_p(j));
                    let dz = select_times(s, student.p(j), s.sub(ratio, s.splat(loss)));
                    s.mul(s.splat(scale), dz)
                },
            ),
            DivergenceKind::Js(mixture) => {
                let [_, of_q] = sides(&mixture);
                let sum = sweep.sum(
                    classes,
                    #[inline(always)]
                    |j| student.term_to_mixture(teacher, j, of_q),
                );
                let of_row = sum as f32;
                sweep.fill(
                    out,
                    #[inline(always)]
                    |j| {
                        let own = student.term_to_mixture(teacher, j, of_q);
                        let dz = s.sub(own, s.mul(student.p(j), s.splat(of_row)));
                        s.mul(s.splat(scale), dz)
                    },
                );
            }
        }
    }
}
