//! The definition: every operation in f64, in plain loops, one function each.
//!
//! This is what the CPU path and the shaders are tested against. It is written to be read, not to
//! be fast; the formulas are numbered in `docs/NUMERICS.md`.
//!
//! ```
//! use surprisal::{CrossEntropy, CrossEntropyInput, Device, Matrix};
//!
//! let logits = Matrix::new(&[0.0f64, 20.0], 1, 2)?;
//! let input = CrossEntropyInput::new(logits, &[1i32]);
//! let output = Device::reference().run(&CrossEntropy::new(), input)?;
//! // log1p(exp(-20)), with all its digits: 1 + exp(-20) - 1 would have lost eight of them.
//! let loss = output.loss.reduced().unwrap();
//! assert!((loss / (-20.0f64).exp().ln_1p() - 1.0).abs() < 1e-15);
//! # Ok::<(), surprisal::Error>(())
//! ```

mod divergence;
mod elementwise;
mod focal;
mod linear;
mod transform;

pub(crate) use linear::linear_cross_entropy;

use crate::error::Result;
use crate::matrix::Array;
use crate::op::{
    CrossEntropy, CrossEntropyInput, CrossEntropyOutput, Data, InputForm, Kind, Loss, Metrics,
    Reduction, Results, Upstream, split_scale,
};

/// Evaluates an operation.
pub(crate) fn execute(kind: &Kind<'_>, data: &Data<'_>) -> Result<Results> {
    Ok(match kind {
        Kind::CrossEntropy(op) => Results::labelled(cross_entropy(op, &data.labelled())?),
        Kind::Focal(op) => Results::labelled(focal::focal(op, &data.labelled())?),
        Kind::LinearCrossEntropy(op) => Results::linear(linear_cross_entropy(op, &data.linear())?),
        Kind::Divergence(spec) => {
            Results::divergence(divergence::divergence(spec, &data.divergence())?)
        }
        Kind::Elementwise(spec) => {
            Results::elementwise(elementwise::elementwise(spec, &data.elementwise())?)
        }
        Kind::Transform(op, unit) => {
            Results::transform(*op, transform::transform(*op, *unit, data)?)
        }
    })
}

/// The maximum of a row, and the sum of exp(scale (x - max)) over all columns but one that holds it.
/// What is above 1 of a scale of logits scales distances: a logit might overflow.
struct RowStat {
    max: f64,
    rest: f64,
    scale: f64,
}

impl RowStat {
    /// The statistic of a row that has a softmax; for the others their log-sum-exp.
    fn of(row: &[f64]) -> Result<Self, f64> {
        Self::of_scaled(row, 1.0)
    }

    fn of_scaled(row: &[f64], scale: f64) -> Result<Self, f64> {
        if row.iter().any(|x| x.is_nan()) {
            return Err(f64::NAN);
        }
        let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if max.is_infinite() {
            return Err(max);
        }
        let argmax = row.iter().position(|&x| x == max).unwrap_or(0);
        let mut rest = 0.0;
        for (j, x) in row.iter().enumerate() {
            if j != argmax {
                rest += (scale * (x - max)).exp();
            }
        }
        Ok(Self { max, rest, scale })
    }

    /// Formula (2).
    fn lse(&self) -> f64 {
        self.scale * self.max + self.rest.ln_1p()
    }

    /// Formula (5): two terms of one sign.
    fn nll(&self, x: f64) -> f64 {
        self.scale * (self.max - x) + self.rest.ln_1p()
    }

    fn p(&self, x: f64) -> f64 {
        (self.scale * (x - self.max)).exp() / (1.0 + self.rest)
    }

    /// Formula (6): where x is the maximum the 1 cancels before anything is rounded.
    fn p_minus_1(&self, x: f64) -> f64 {
        if x == self.max { -self.rest / (1.0 + self.rest) } else { self.p(x) - 1.0 }
    }
}

fn lse_of(stat: &Result<RowStat, f64>) -> f64 {
    stat.as_ref().map_or_else(|lse| *lse, RowStat::lse)
}

/// A coefficient of 0 contributes 0, though its factor be infinite.
fn times(coefficient: f64, x: f64) -> f64 {
    if coefficient == 0.0 { 0.0 } else { coefficient * x }
}

/// The first column that holds the largest number, the first of all where there is nothing but -inf
/// and NaN.
fn argmax(x: &[f64]) -> usize {
    let (mut best, mut max) = (0, f64::NEG_INFINITY);
    for (j, &x) in x.iter().enumerate() {
        if x > max {
            (best, max) = (j, x);
        }
    }
    best
}

/// The upstream gradient of each of `losses`, with what a mean divides by taken out: NaN where that
/// is 0.
fn upstream_of(
    upstream: Upstream<'_>,
    losses: usize,
    reduction: Reduction,
    divisor: f64,
) -> Vec<f64> {
    let dloss = match upstream {
        Upstream::Scalar(dloss) => vec![dloss; losses],
        Upstream::Each(dloss) => dloss.to_f64(),
    };
    let over = |dloss| if divisor == 0.0 { f64::NAN } else { dloss / divisor };
    if reduction == Reduction::Mean { dloss.into_iter().map(over).collect() } else { dloss }
}

/// The reported loss.
fn reduce(losses: Vec<f64>, reduction: Reduction, divisor: f64) -> Loss {
    // The sum of nothing is -0 in Rust.
    let sum = losses.iter().sum::<f64>() + 0.0;
    match reduction {
        Reduction::None => Loss::Each(Array::F64(losses)),
        Reduction::Sum => Loss::Reduced(sum),
        Reduction::Mean if divisor == 0.0 => Loss::Reduced(f64::NAN),
        Reduction::Mean => Loss::Reduced(sum / divisor),
    }
}

/// A row of cross-entropy's input as it enters the loss: z, dz / dx, and what -log p is made of.
struct Scores {
    /// What orders the input by z, before scale, softcap and clamp make elements equal.
    rank: Vec<f64>,
    /// Before distances are scaled.
    z: Vec<f64>,
    slope: Vec<f64>,
    /// The statistic of logits, or the log-sum-exp where there is none; `None` if the input is
    /// normalised.
    stat: Option<Result<RowStat, f64>>,
}

impl Scores {
    /// Formulas (11) and (17).
    fn of(op: &CrossEntropy, x: &[f64]) -> Self {
        let scale = op.logit_scale();
        let (of_logits, of_distances) = split_scale(scale);
        let (z, slope): (Vec<f64>, Vec<f64>) = x
            .iter()
            .map(|&x| match (op.form(), op.softcap()) {
                (InputForm::LogProbs, _) => (x, 1.0),
                (InputForm::Probs, _) if x >= op.clamp() => (x.ln(), 1.0 / x),
                (InputForm::Probs, _) => (op.clamp().ln(), 0.0),
                (InputForm::Logits, None) => (x * of_logits, scale),
                // 1 - tanh^2 = 1 / cosh^2, which keeps its digits where tanh is nearly 1.
                (InputForm::Logits, Some(cap)) => {
                    let y = x * scale / cap;
                    (cap * y.tanh(), scale / y.cosh().powi(2))
                }
            })
            .unzip();
        let of_distances = if op.softcap().is_some() { 1.0 } else { of_distances };
        let is_logits = op.form() == InputForm::Logits;
        let stat = is_logits.then(|| RowStat::of_scaled(&z, of_distances));
        let sign = if scale == 0.0 { 0.0 } else { scale.signum() };
        Self { rank: x.iter().map(|x| x * sign).collect(), z, slope, stat }
    }

    fn is_undefined(&self) -> bool {
        matches!(self.stat, Some(Err(_)))
    }

    fn nll(&self, j: usize) -> f64 {
        match &self.stat {
            None => -self.z[j],
            Some(Ok(stat)) => stat.nll(self.z[j]),
            Some(Err(_)) => f64::NAN,
        }
    }

    fn lse(&self) -> f64 {
        self.stat.as_ref().map_or(0.0, lse_of)
    }

    /// `total p - part`: what a share of the target, out of all shares, pulls at column j. Where the
    /// share is all there is, and z the maximum, nothing cancels.
    fn pull(&self, j: usize, total: f64, part: f64) -> f64 {
        match &self.stat {
            None => -part,
            Some(Ok(stat)) => {
                let z = self.z[j];
                (total - part) * stat.p(z) + part * stat.p_minus_1(z)
            }
            Some(Err(_)) => f64::NAN,
        }
    }
}

/// Cross-entropy, formulas (5) to (8) and (11) to (17).
fn cross_entropy(op: &CrossEntropy, input: &CrossEntropyInput<'_>) -> Result<CrossEntropyOutput> {
    op.validate(input)?;
    let (rows, classes) = (input.logits.rows(), input.logits.columns());
    let logits = input.logits.values().to_f64();
    let probs = input.targets.probs().map(|probs| probs.values().to_f64());
    let of_rows = op.rows(input.targets, input.mask);
    let (kept_rows, total_weight) = op.totals(&of_rows);
    let divisor = op.normalizer().unwrap_or(total_weight);
    let unit = op.unit().per_nat();
    let dloss = upstream_of(input.upstream, rows, op.reduction(), divisor);
    let e = op.label_smoothing();

    let mut losses = vec![0.0; rows];
    let mut lse = vec![0.0; rows];
    let with_gradients = op.has_gradient() || op.has_target_gradient();
    let columns_wanted = if with_gradients { classes } else { 0 };
    let mut dlogits = vec![0.0; rows * columns_wanted];
    let mut dtargets = vec![0.0; rows * columns_wanted];
    let (mut best, mut correct, mut plain_nll) = (vec![-1; rows], 0, op.nll_before);
    for i in (0..rows).filter(|&i| of_rows.counts(i)) {
        let columns = i * classes..(i + 1) * classes;
        let q: Vec<f64> = if let Some(probs) = &probs {
            probs[columns.clone()].to_vec()
        } else {
            let y = of_rows.class(i);
            (0..classes).map(|j| f64::from(u8::from(Some(j) == y))).collect()
        };
        let scores = Scores::of(op, &logits[columns.clone()]);
        lse[i] = scores.lse();
        // With index targets the target's share is (1 - e) w_y, and every class has (e / C) w_j.
        let share: Vec<f64> = (0..classes).map(|j| (1.0 - e) * op.weight(j) * q[j]).collect();
        let smooth: Vec<f64> = (0..classes).map(|j| e / classes as f64 * op.weight(j)).collect();
        let total: f64 = share.iter().sum();
        let smooth_total: f64 = smooth.iter().sum();
        // With probability targets every column of a row is read.
        let is_read = |z: &f64| probs.is_some() && *z == f64::INFINITY;
        let undefined = scores.is_undefined() || !total.is_finite() || scores.z.iter().any(is_read);
        let cross: f64 = (0..classes).map(|j| times(share[j] + smooth[j], scores.nll(j))).sum();
        let z_loss = times(op.z_loss(), lse[i] * lse[i]);
        losses[i] = unit * if undefined { f64::NAN } else { cross + z_loss };
        for j in 0..columns_wanted {
            let more = smooth_total + 2.0 * times(op.z_loss(), lse[i]);
            let p = scores
                .stat
                .as_ref()
                .map_or(0.0, |stat| stat.as_ref().map_or(f64::NAN, |stat| stat.p(scores.z[j])));
            let dz = scores.pull(j, total, share[j]) + times(more, p) - smooth[j];
            let dz = if undefined { f64::NAN } else { dz };
            dlogits[i * classes + j] = dloss[i] * unit * times(dz, scores.slope[j]);
            let of_target = times((1.0 - e) * op.weight(j), scores.nll(j));
            let of_target = if scores.is_undefined() { f64::NAN } else { of_target };
            dtargets[i * classes + j] = dloss[i] * unit * of_target;
        }
        best[i] = Metrics::column(argmax(&scores.rank));
        correct += u64::from(best[i] == Metrics::column(argmax(&q)));
        plain_nll += (0..classes).map(|j| times(q[j], scores.nll(j))).sum::<f64>();
    }

    Ok(CrossEntropyOutput {
        loss: reduce(losses, op.reduction(), divisor),
        lse: Array::F64(lse),
        dlogits: op.has_gradient().then_some(Array::F64(dlogits)),
        dtargets: op.has_target_gradient().then_some(Array::F64(dtargets)),
        metrics: op.has_metrics().then(|| Metrics::new(best, correct, plain_nll, kept_rows)),
        kept_rows,
        total_weight,
    })
}
