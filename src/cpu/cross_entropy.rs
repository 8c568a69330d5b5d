//! Cross-entropy: one statistic a row, then the column formula.

use std::borrow::Cow;

use crate::cpu::{
    Dloss, RowStat, as_f32, for_each_row, for_each_row_with_columns, reduce, sum_by, times,
};
use crate::dtype::Element;
use crate::error::Result;
use crate::matrix::{Array, Matrix, with_values};
use crate::op::{CrossEntropy, CrossEntropyInput, CrossEntropyOutput, InputForm, Metrics, Targets};

pub(crate) fn cross_entropy(
    op: &CrossEntropy,
    input: &CrossEntropyInput<'_>,
) -> Result<CrossEntropyOutput> {
    op.validate(input)?;
    let (rows, classes) = (input.logits.rows(), input.logits.classes());
    let (kept_rows, total_weight) = op.totals(&input.targets);
    let divisor = op.normalizer().unwrap_or(total_weight);
    let e = op.label_smoothing();
    let weights = op.class_weights().map(|weights| weights.iter().map(|&w| w as f32).collect());
    let task = Task {
        op,
        targets: input.targets,
        classes,
        dloss: Dloss::of(input.upstream, op.reduction(), divisor, op.unit()),
        unit: op.unit().per_nat() as f32,
        weights,
        keep: (1.0 - e) as f32,
        smooth_class: (e / classes.max(1) as f64) as f32,
        smooth_sum: (e / classes.max(1) as f64 * op.weight_sum(classes)) as f32,
    };
    let mut results = vec![RowResult::IGNORED; rows];
    // The targets' gradient is the rarer wish: a pass of its own over the rows.
    let dtargets = match input.targets.probs() {
        Some(probs) if op.has_target_gradient() => {
            Some(with_values!(probs.values(), q => task.target_gradient(q, input.logits)))
        }
        _ => None,
    };
    let dlogits = with_values!(input.logits.values(), x => task.run(x, &mut results));

    let metrics = op.has_metrics().then(|| {
        let nll: f64 = results.iter().map(|row| f64::from(row.nll)).sum();
        let correct = results.iter().filter(|row| row.correct).count() as u64;
        Metrics::new(results.iter().map(|row| row.argmax).collect(), correct, nll, kept_rows)
    });
    let lse = results.iter().map(|row| row.lse).collect();
    let losses = results.into_iter().map(|row| row.loss).collect();
    Ok(CrossEntropyOutput {
        loss: reduce(losses, op.reduction(), divisor),
        lse: Array::F32(lse),
        dlogits,
        dtargets,
        metrics,
        kept_rows,
        total_weight,
    })
}

struct Task<'a> {
    op: &'a CrossEntropy,
    targets: Targets<'a>,
    classes: usize,
    dloss: Dloss,
    unit: f32,
    weights: Option<Vec<f32>>,
    /// 1 - e, with label smoothing e.
    keep: f32,
    /// e / classes.
    smooth_class: f32,
    /// The same times the sum of all class weights.
    smooth_sum: f32,
}

/// What a row comes to.
#[derive(Clone)]
struct RowResult {
    loss: f32,
    lse: f32,
    nll: f32,
    argmax: i64,
    correct: bool,
}

impl RowResult {
    const IGNORED: Self = Self { loss: 0.0, lse: 0.0, nll: 0.0, argmax: -1, correct: false };
}

/// A row's target.
enum Label<'a> {
    Class(usize),
    Probs(Cow<'a, [f32]>),
}

/// A kept row on its way: its target, z, and the statistic of z if it is not normalised already.
struct Row<'a> {
    label: Label<'a>,
    /// What orders the input by z, before scale, softcap and clamp make elements equal; for metrics.
    rank: Cow<'a, [f32]>,
    z: Cow<'a, [f32]>,
    stat: Option<RowStat>,
}

impl Row<'_> {
    /// What the labels of a row with probability targets come to; NaN if the row has no loss for
    /// them: every column is read, and a +inf among log-probabilities is the whole row's.
    fn total(&self, sum: f32) -> f32 {
        let is_read = self.stat.is_some() || !self.z.contains(&f32::INFINITY);
        if sum.is_finite() && is_read { sum } else { f32::NAN }
    }

    /// Formulas (5) and (17).
    fn nll(&self, j: usize) -> f32 {
        self.stat.map_or(-self.z[j], |stat| stat.nll(self.z[j]))
    }

    /// p and p - 1 of a column; of a normalised row, whose gradient is the shares alone, 0 and -1.
    fn p(&self, j: usize) -> (f32, f32) {
        self.stat.map_or((0.0, -1.0), |stat| {
            ((self.z[j] - stat.max()).exp() / stat.sum(), stat.p_minus_1(self.z[j]))
        })
    }
}

/// The first column that holds the largest number, the first of all where there is nothing but -inf
/// and NaN.
fn argmax(x: &[f32]) -> usize {
    let (mut best, mut max) = (0, f32::NEG_INFINITY);
    for (j, &x) in x.iter().enumerate() {
        if x > max {
            (best, max) = (j, x);
        }
    }
    best
}

impl Task<'_> {
    fn run<T: Element>(&self, logits: &[T], results: &mut [RowResult]) -> Option<Array>
    where
        Vec<T>: Into<Array>,
    {
        let row_of = |row: usize| &logits[row * self.classes..(row + 1) * self.classes];
        if !self.op.has_gradient() {
            for_each_row(self.classes, results, |i, out| {
                if let Some(row) = self.row(i, row_of(i)) {
                    *out = self.result(&row);
                }
            });
            return None;
        }
        let mut dlogits = vec![T::from_f32(0.0); logits.len()];
        for_each_row_with_columns(self.classes, &mut dlogits, results, |i, dlogits, out| {
            if let Some(row) = self.row(i, row_of(i)) {
                *out = self.result(&row);
                self.columns(&row, row_of(i), self.dloss.at(i), dlogits);
            }
        });
        Some(dlogits.into())
    }

    fn weight(&self, class: usize) -> f32 {
        self.weights.as_ref().map_or(1.0, |weights| weights[class])
    }

    /// z of an element of the input: formulas (11) and (17).
    fn chain(&self, x: f32) -> f32 {
        match (self.op.form(), self.op.softcap()) {
            (InputForm::LogProbs, _) => x,
            (InputForm::Probs, _) => x.max(self.op.clamp() as f32).ln(),
            (InputForm::Logits, softcap) => {
                let z = x * self.op.logit_scale() as f32;
                softcap.map_or(z, |cap| cap as f32 * (z / cap as f32).tanh())
            }
        }
    }

    /// Its derivative. 1 - tanh^2 = 4 e / (1 + e)^2 keeps its digits near tanh = 1.
    fn chain_slope(&self, x: f32) -> f32 {
        match (self.op.form(), self.op.softcap()) {
            (InputForm::LogProbs, _) => 1.0,
            (InputForm::Probs, _) if x >= self.op.clamp() as f32 => 1.0 / x,
            (InputForm::Probs, _) => 0.0,
            (InputForm::Logits, softcap) => {
                let scale = self.op.logit_scale() as f32;
                softcap.map_or(scale, |cap| {
                    let e = (-2.0 * (x * scale / cap as f32).abs()).exp();
                    scale * (4.0 * e / ((1.0 + e) * (1.0 + e)))
                })
            }
        }
    }

    /// Whether z is the input itself.
    fn is_plain(&self) -> bool {
        match self.op.form() {
            InputForm::Logits => !self.op.has_chain(),
            form => form == InputForm::LogProbs,
        }
    }

    fn rank<'a, T: Element>(&self, x: &'a [T]) -> Cow<'a, [f32]> {
        match self.op.logit_scale() {
            scale if scale > 0.0 => as_f32(x),
            scale => {
                let sign = if scale < 0.0 { -1.0 } else { 0.0 };
                Cow::Owned(x.iter().map(|x| x.to_f32() * sign).collect())
            }
        }
    }

    fn row<'a, T: Element>(&'a self, i: usize, x: &'a [T]) -> Option<Row<'a>> {
        let label = if let Some(probs) = self.targets.probs() {
            let row = i * self.classes..(i + 1) * self.classes;
            Label::Probs(with_values!(probs.values(), q => as_f32(&q[row])))
        } else {
            Label::Class(self.op.kept_class(&self.targets, i)?)
        };
        let z = if self.is_plain() {
            as_f32(x)
        } else {
            Cow::Owned(x.iter().map(|x| self.chain(x.to_f32())).collect())
        };
        let stat = (self.op.form() == InputForm::Logits).then(|| RowStat::of(&z));
        let rank = if self.op.has_metrics() { self.rank(x) } else { Cow::Borrowed(&[][..]) };
        Some(Row { label, rank, z, stat })
    }

    /// The part of a class in a row's loss with probability targets: `w_j ((1 - e) q_j + e / C)`.
    fn part(&self, j: usize, q: f32) -> f32 {
        self.weight(j) * (self.keep * q + self.smooth_class)
    }

    /// Formulas (7), (12), (15) and (17).
    fn result(&self, row: &Row<'_>) -> RowResult {
        let sum = |f: &dyn Fn(usize) -> f32| sum_by(self.classes, f);
        let cross = match &row.label {
            Label::Class(y) => {
                let own = times(self.keep * self.weight(*y), row.nll(*y));
                own + self.smoothing(row)
            }
            Label::Probs(q) => {
                let total = row.total(sum(&|j| self.part(j, q[j])));
                if total.is_finite() {
                    sum(&|j| times(self.part(j, q[j]), row.nll(j)))
                } else {
                    f32::NAN
                }
            }
        };
        let lse = row.stat.map_or(0.0, RowStat::lse);
        let loss = self.unit * (cross + times(self.op.z_loss() as f32, lse * lse));
        let is_defined = row.stat.is_none_or(RowStat::is_defined);
        let loss = if is_defined { loss } else { f32::NAN };
        if !self.op.has_metrics() {
            return RowResult { loss, lse, ..RowResult::IGNORED };
        }
        let best = argmax(&row.rank);
        let (nll, correct) = match &row.label {
            Label::Class(y) => (row.nll(*y), best == *y),
            Label::Probs(q) => (sum(&|j| times(q[j], row.nll(j))), best == argmax(q)),
        };
        RowResult { loss, lse, nll, argmax: Metrics::column(best), correct }
    }

    /// `(e / C) sum_j w_j nll_j`, formula (12).
    fn smoothing(&self, row: &Row<'_>) -> f32 {
        let (Some(stat), true) = (row.stat, self.smooth_class != 0.0) else { return 0.0 };
        let spread = sum_by(self.classes, |j| times(self.weight(j), stat.max() - row.z[j]));
        self.smooth_class * spread + self.smooth_sum * stat.rest().ln_1p()
    }

    /// dloss (A p - B onehot - k w) and the chain's slope: formulas (8), (13) and (16).
    fn columns<T: Element>(&self, row: &Row<'_>, x: &[T], dloss: f32, dlogits: &mut [T]) {
        let z_slope = row.stat.map_or(0.0, |stat| times(2.0 * self.op.z_loss() as f32, stat.lse()));
        match &row.label {
            Label::Class(y) => self.columns_of_class(row, *y, x, (dloss, z_slope), dlogits),
            Label::Probs(q) => {
                let total = row.total(sum_by(self.classes, |j| self.part(j, q[j])));
                // A NaN or an infinity among the probabilities is the whole row's.
                let dloss = if total.is_finite() { dloss } else { f32::NAN };
                for (j, (d, x)) in dlogits.iter_mut().zip(x).enumerate() {
                    let (part, (p, p_minus_1)) = (self.part(j, q[j]), row.p(j));
                    // A p - a, with nothing cancelled where a is all of A.
                    let dz = (total - part) * p + part * p_minus_1 + z_slope * p;
                    *d = T::from_f32(dloss * times(dz, self.chain_slope(x.to_f32())));
                }
            }
        }
    }

    fn columns_of_class<T: Element>(
        &self,
        row: &Row<'_>,
        y: usize,
        x: &[T],
        (dloss, z_slope): (f32, f32),
        dlogits: &mut [T],
    ) {
        let own = self.keep * self.weight(y);
        let slope_at = |j: usize| self.chain_slope(x[j].to_f32());
        let Some(stat) = row.stat else {
            if dloss.is_nan() {
                dlogits.fill(T::from_f32(dloss));
            }
            dlogits[y] = T::from_f32(dloss * times(-own, slope_at(y)));
            return;
        };
        let more = self.smooth_sum + z_slope;
        let scale = dloss * (own + more) / stat.sum();
        let shift = dloss * self.smooth_class;
        let is_plain = self.is_plain() && shift == 0.0;
        for (j, (d, z)) in dlogits.iter_mut().zip(row.z.iter()).enumerate() {
            let dz = (z - stat.max()).exp() * scale;
            *d = T::from_f32(if is_plain {
                dz
            } else {
                (dz - shift * self.weight(j)) * slope_at(j)
            });
        }
        let (p, p_minus_1) = row.p(y);
        let dz = own * p_minus_1 + more * p - self.smooth_class * self.weight(y);
        dlogits[y] = T::from_f32(dloss * dz * slope_at(y));
    }

    /// dq = dloss (1 - e) w nll, formula (16).
    fn target_gradient<T: Element>(&self, q: &[T], logits: Matrix<'_>) -> Array
    where
        Vec<T>: Into<Array>,
    {
        let mut dtargets = vec![T::from_f32(0.0); q.len()];
        let mut nothing = vec![(); logits.rows()];
        for_each_row_with_columns(self.classes, &mut dtargets, &mut nothing, |i, out, ()| {
            let columns = i * self.classes..(i + 1) * self.classes;
            let fill = |row: Option<Row<'_>>, out: &mut [T]| {
                let Some(row) = row else { return };
                let is_defined = row.stat.is_none_or(RowStat::is_defined);
                let dloss = if is_defined { self.dloss.at(i) } else { f32::NAN };
                for (j, d) in out.iter_mut().enumerate() {
                    let part = self.keep * self.weight(j);
                    *d = T::from_f32(dloss * times(part, row.nll(j)));
                }
            };
            with_values!(logits.values(), x => fill(self.row(i, &x[columns]), out));
        });
        dtargets.into()
    }
}
