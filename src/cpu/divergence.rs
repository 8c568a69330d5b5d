//! Divergences between two batches, formulas (19) and (20).

use std::borrow::Cow;

use crate::cpu::{Dloss, RowStat, as_f32, for_each_row_with_columns, reduce, times};
use crate::dtype::Element;
use crate::error::Result;
use crate::matrix::{Array, Values, with_values};
use crate::op::{DivergenceInput, DivergenceKind, DivergenceOutput, DivergenceSpec, InputForm};

pub(crate) fn divergence(
    spec: &DivergenceSpec,
    input: &DivergenceInput<'_>,
) -> Result<DivergenceOutput> {
    spec.validate(input)?;
    let rows = input.student.rows();
    let common = spec.common;
    let dloss = Dloss::of(input.upstream, common.reduction, rows as f64, common.unit);
    let mut stats = vec![(0.0, 0.0); rows];
    let task = Task { spec, teacher: input.teacher.values(), classes: input.student.classes() };
    let dstudent = with_values!(input.student.values(), x => task.run(x, &dloss, &mut stats));
    let (losses, lse) = stats.into_iter().unzip();
    Ok(DivergenceOutput {
        loss: reduce(losses, common.reduction, rows as f64),
        lse: Array::F32(lse),
        dstudent: common.gradient.then_some(dstudent),
    })
}

struct Task<'a> {
    spec: &'a DivergenceSpec,
    teacher: Values<'a>,
    classes: usize,
}

/// The logarithms of a row's probabilities, and what keeps the digits of a confident one.
struct LogProbs<'a> {
    z: Cow<'a, [f32]>,
    /// `None` if z are log-probabilities already.
    stat: Option<RowStat>,
}

impl LogProbs<'_> {
    fn log_p(&self, j: usize) -> f32 {
        self.stat.map_or(self.z[j], |stat| -stat.nll(self.z[j]))
    }

    fn p(&self, j: usize) -> f32 {
        match self.stat {
            Some(stat) => (self.z[j] - stat.max()).exp() / stat.sum(),
            None => self.z[j].exp(),
        }
    }

    /// 1 - p where p is above one half: there it has more digits than p.
    fn miss(&self, j: usize) -> Option<f32> {
        let stat = self.stat.filter(|stat| self.z[j] == stat.max() && stat.rest() < 1.0)?;
        Some(stat.rest() / stat.sum())
    }

    /// The part of a class in KL(self || other).
    fn term(&self, other: &Self, j: usize) -> f32 {
        let (a, b) = (self.log_p(j), other.log_p(j));
        // Where only p underflowed, what it stands for may still be infinitely surprising.
        if a == f32::NEG_INFINITY {
            0.0
        } else if b == f32::NEG_INFINITY {
            f32::INFINITY
        } else {
            times(self.p(j), a - b)
        }
    }

    /// The part of a class in KL(self || M), M the mean of both: P (log 2 - softplus(log Q - log P)).
    fn term_to_mean(&self, other: &Self, j: usize) -> f32 {
        let d = other.log_p(j) - self.log_p(j);
        let softplus = (-d.abs()).exp().ln_1p() + if d < 0.0 { 0.0 } else { d };
        times(self.p(j), std::f32::consts::LN_2 - softplus)
    }
}

impl Task<'_> {
    fn run<T: Element>(&self, student: &[T], dloss: &Dloss, stats: &mut [(f32, f32)]) -> Array
    where
        Vec<T>: Into<Array>,
    {
        let unit = self.spec.common.unit.per_nat() as f32;
        let width = if self.spec.common.gradient { self.classes } else { 0 };
        let mut dstudent = vec![T::from_f32(0.0); stats.len() * width];
        let row = |i: usize, out: &mut [T], stat: &mut (f32, f32)| {
            let columns = i * self.classes..(i + 1) * self.classes;
            let teacher = with_values!(self.teacher, t => self.teacher(&t[columns.clone()]));
            let student = self.logits(&student[columns]);
            let loss = self.loss(&teacher, &student);
            *stat = (unit * loss, student.stat.map_or(0.0, RowStat::lse));
            if !out.is_empty() {
                let scale = dloss.at(i) / self.spec.temperature as f32;
                self.columns(&teacher, &student, loss, scale, out);
            }
        };
        if width == 0 {
            super::for_each_row(self.classes, stats, |i, stat| row(i, &mut [], stat));
        } else {
            for_each_row_with_columns(self.classes, &mut dstudent, stats, row);
        }
        dstudent.into()
    }

    fn logits<'a, T: Element>(&self, x: &'a [T]) -> LogProbs<'a> {
        let temperature = self.spec.temperature as f32;
        let z = if temperature == 1.0 {
            as_f32(x)
        } else {
            Cow::Owned(x.iter().map(|x| x.to_f32() / temperature).collect())
        };
        LogProbs { stat: Some(RowStat::of(&z)), z }
    }

    fn teacher<'a, T: Element>(&self, x: &'a [T]) -> LogProbs<'a> {
        match self.spec.teacher {
            InputForm::Logits => self.logits(x),
            InputForm::LogProbs => LogProbs { z: as_f32(x), stat: None },
            InputForm::Probs => {
                let z = x.iter().map(|x| x.to_f32().ln()).collect();
                LogProbs { z: Cow::Owned(z), stat: None }
            }
        }
    }

    /// A row's divergence. Terms are added in f64.
    fn loss(&self, teacher: &LogProbs<'_>, student: &LogProbs<'_>) -> f32 {
        let sum =
            |f: &dyn Fn(usize) -> f32| -> f64 { (0..self.classes).map(|j| f64::from(f(j))).sum() };
        let undefined = |row: &LogProbs<'_>| match row.stat {
            Some(stat) => !stat.is_defined(),
            None => row.z.iter().any(|log_p| log_p.is_nan()),
        };
        if undefined(teacher) || undefined(student) {
            return f32::NAN;
        }
        match self.spec.kind {
            DivergenceKind::Kl => sum(&|j| teacher.term(student, j)) as f32,
            DivergenceKind::ReverseKl => sum(&|j| student.term(teacher, j)) as f32,
            DivergenceKind::Js => {
                let both = |j| teacher.term_to_mean(student, j) + student.term_to_mean(teacher, j);
                (sum(&both) / 2.0) as f32
            }
        }
    }

    fn columns<T: Element>(
        &self,
        teacher: &LogProbs<'_>,
        student: &LogProbs<'_>,
        loss: f32,
        scale: f32,
        out: &mut [T],
    ) {
        let sum = |f: &dyn Fn(usize) -> f32| super::sum_by(self.classes, f);
        // What the columns need of the whole row.
        let of_row = match self.spec.kind {
            DivergenceKind::Kl if teacher.stat.is_some() => 1.0,
            DivergenceKind::Kl => sum(&|j| teacher.p(j)),
            DivergenceKind::ReverseKl if loss.is_finite() => loss,
            DivergenceKind::ReverseKl => f32::NAN,
            DivergenceKind::Js => sum(&|j| student.term_to_mean(teacher, j)) / 2.0,
        };
        for (j, d) in out.iter_mut().enumerate() {
            let q = student.p(j);
            let dz = match self.spec.kind {
                DivergenceKind::Kl => match (teacher.miss(j), student.miss(j)) {
                    // Q - P = (1 - P) - (1 - Q): a confident pair keeps its digits.
                    (Some(teacher), Some(student)) => teacher - student,
                    _ => q * of_row - teacher.p(j),
                },
                DivergenceKind::ReverseKl if of_row.is_nan() => f32::NAN,
                DivergenceKind::ReverseKl => {
                    times(q, (student.log_p(j) - teacher.log_p(j)) - of_row)
                }
                DivergenceKind::Js => student.term_to_mean(teacher, j) / 2.0 - q * of_row,
            };
            *d = T::from_f32(scale * dz);
        }
    }
}
