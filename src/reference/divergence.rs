//! Divergences between two batches, formulas (19) and (20).

use super::{RowStat, lse_of, reduce, times, upstream_of};
use crate::error::Result;
use crate::matrix::Array;
use crate::op::{
    DivergenceInput, DivergenceKind, DivergenceOutput, DivergenceSpec, InputForm, Mixture, counts,
    kept,
};

/// The probabilities of a row, their logarithms, 1 - p of each, and what they sum to.
struct Distribution {
    p: Vec<f64>,
    log_p: Vec<f64>,
    miss: Vec<f64>,
    total: f64,
}

/// Logits over a temperature, or as they are, with a scale of their distances.
fn over(x: &[f64], temperature: f64) -> (Vec<f64>, f64) {
    if temperature < 1.0 {
        return (x.to_vec(), 1.0 / temperature);
    }
    (x.iter().map(|x| x / temperature).collect(), 1.0)
}

impl Distribution {
    fn of_logits(z: &[f64], scale: f64) -> Self {
        let Ok(stat) = RowStat::of_scaled(z, scale) else {
            let nan = vec![f64::NAN; z.len()];
            return Self { p: nan.clone(), log_p: nan.clone(), miss: nan, total: f64::NAN };
        };
        Self {
            p: z.iter().map(|&z| stat.p(z)).collect(),
            log_p: z.iter().map(|&z| -stat.nll(z)).collect(),
            miss: z.iter().map(|&z| -stat.p_minus_1(z)).collect(),
            total: 1.0,
        }
    }

    fn of_teacher(x: &[f64], form: InputForm, temperature: f64) -> Self {
        match form {
            InputForm::Logits => {
                let (z, scale) = over(x, temperature);
                Self::of_logits(&z, scale)
            }
            InputForm::LogProbs => Self::given(x.iter().map(|x| x.exp()).collect(), x.to_vec()),
            InputForm::Probs => Self::given(x.to_vec(), x.iter().map(|x| x.ln()).collect()),
        }
    }

    fn given(p: Vec<f64>, log_p: Vec<f64>) -> Self {
        let miss = p.iter().map(|p| 1.0 - p).collect();
        Self { miss, total: p.iter().sum(), p, log_p }
    }

    fn is_undefined(&self) -> bool {
        self.log_p.iter().any(|log_p| log_p.is_nan())
    }

    /// KL(self || other). Told by the logarithms: a probability may have underflowed.
    fn kl(&self, other: &Self) -> f64 {
        let term = |j: usize| match (self.log_p[j], other.log_p[j]) {
            (f64::NEG_INFINITY, _) => 0.0,
            (_, f64::NEG_INFINITY) => f64::INFINITY,
            (a, b) => times(self.p[j], a - b),
        };
        (0..self.p.len()).map(term).sum()
    }

    /// The logarithm of the mixture of a teacher's and a student's probability, from the larger part.
    fn log_mixture(&self, student: &Self, mixture: &Mixture, j: usize) -> f64 {
        let (a, b) = (self.log_p[j], student.log_p[j]);
        let difference = (b + mixture.shift) - a;
        if a.max(b) == f64::NEG_INFINITY {
            f64::NEG_INFINITY
        } else if difference <= 0.0 {
            a + difference.exp().ln_1p() - mixture.log_teacher
        } else {
            b + (-difference).exp().ln_1p() - mixture.log_student
        }
    }
}

/// The divergence of a row, and its gradient with respect to z = student / T.
fn row(kind: DivergenceKind, p: &Distribution, q: &Distribution) -> (f64, Vec<f64>) {
    let columns = 0..p.p.len();
    if p.is_undefined() || q.is_undefined() {
        return (f64::NAN, vec![f64::NAN; columns.len()]);
    }
    match kind {
        DivergenceKind::Kl => {
            // Q sum(P) - P; where both are sure of a class, from what they miss.
            let column = |j: usize| {
                if p.p[j] > 0.5 && q.p[j] > 0.5 {
                    q.p[j] * (p.total - 1.0) + (p.miss[j] - q.miss[j])
                } else {
                    q.p[j] * p.total - p.p[j]
                }
            };
            (p.kl(q), columns.map(column).collect())
        }
        DivergenceKind::ReverseKl => {
            let kl = q.kl(p);
            // An infinite divergence has no gradient.
            let kl_or_nan = if kl.is_finite() { kl } else { f64::NAN };
            let column = |j: usize| {
                if kl_or_nan.is_nan() {
                    return f64::NAN;
                }
                times(q.p[j], (q.log_p[j] - p.log_p[j]) - kl)
            };
            (kl, columns.map(column).collect())
        }
        DivergenceKind::Js(mixture) => {
            let log_m = |j| p.log_mixture(q, &mixture, j);
            let term = |a: &Distribution, j| times(a.p[j], a.log_p[j] - log_m(j));
            let (of_p, of_q) = (mixture.teacher, mixture.student);
            let js = columns.clone().map(|j| of_p * term(p, j) + of_q * term(q, j)).sum();
            let s: Vec<f64> = columns.clone().map(|j| of_q * term(q, j)).collect();
            let total: f64 = s.iter().sum();
            (js, columns.map(|j| s[j] - q.p[j] * total).collect())
        }
    }
}

pub(super) fn divergence(
    spec: &DivergenceSpec,
    input: &DivergenceInput<'_>,
) -> Result<DivergenceOutput> {
    spec.validate(input)?;
    let (rows, classes) = (input.student.rows(), input.student.columns());
    let (teacher, student) = (input.teacher.values().to_f64(), input.student.values().to_f64());
    let (reduction, unit) = (spec.common.reduction, spec.common.unit.per_nat());
    let divisor = spec.common.divisor(kept(input.mask, rows) as f64);
    let dloss = upstream_of(input.upstream, rows, reduction, divisor);
    let (mut losses, mut lse) = (vec![0.0; rows], vec![0.0; rows]);
    let mut dstudent = vec![0.0; rows * classes];
    for i in (0..rows).filter(|&i| counts(input.mask, i)) {
        let columns = i * classes..(i + 1) * classes;
        let (t, x) = (&teacher[columns.clone()], &student[columns.clone()]);
        let (z, scale) = over(x, spec.temperature);
        let p = Distribution::of_teacher(t, spec.teacher, spec.temperature);
        let q = Distribution::of_logits(&z, scale);
        let (loss, dz) = row(spec.kind, &p, &q);
        losses[i] = unit * loss;
        lse[i] = lse_of(&RowStat::of_scaled(&z, scale));
        for (dx, dz) in dstudent[columns].iter_mut().zip(dz) {
            *dx = dloss[i] * unit * dz / spec.temperature;
        }
    }
    Ok(DivergenceOutput {
        loss: reduce(losses, reduction, divisor),
        lse: Array::F64(lse),
        dstudent: spec.common.gradient.then_some(Array::F64(dstudent)),
    })
}
