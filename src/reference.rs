//! The definition: every operation in f64, in plain loops, one function each.
//!
//! This is what the CPU path and the shaders are tested against. It is written to be read, not to
//! be fast; the formulas are numbered in `docs/NUMERICS.md`.
//!
//! ```
//! use surprisal::{CrossEntropy, CrossEntropyInput, Matrix, reference};
//!
//! let logits = Matrix::new(&[0.0f64, 20.0], 1, 2)?;
//! let output = reference::cross_entropy(
//!     &CrossEntropy::new(), &CrossEntropyInput::new(logits, &[1i32]))?;
//! // log1p(exp(-20)), with all its digits: 1 + exp(-20) - 1 would have lost eight of them.
//! let loss = output.loss.reduced().unwrap();
//! assert!((loss / (-20.0f64).exp().ln_1p() - 1.0).abs() < 1e-15);
//! # Ok::<(), surprisal::Error>(())
//! ```

use crate::error::Result;
use crate::matrix::{Array, Matrix};
use crate::op::{
    CrossEntropy, CrossEntropyInput, CrossEntropyOutput, Loss, Reduction, Transform,
    TransformInput, Upstream,
};

/// The maximum of a row, and the sum of exp(x - max) over all columns but one that holds it.
struct RowStat {
    max: f64,
    rest: f64,
}

impl RowStat {
    /// The statistic of a row that has a softmax; for the others their log-sum-exp.
    fn of(row: &[f64]) -> Result<Self, f64> {
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
                rest += (x - max).exp();
            }
        }
        Ok(Self { max, rest })
    }

    /// Formula (2).
    fn lse(&self) -> f64 {
        self.max + self.rest.ln_1p()
    }

    /// Formula (5): two terms of one sign.
    fn nll(&self, x: f64) -> f64 {
        (self.max - x) + self.rest.ln_1p()
    }

    fn p(&self, x: f64) -> f64 {
        (x - self.max).exp() / (1.0 + self.rest)
    }

    /// Formula (6): where x is the maximum the 1 cancels before anything is rounded.
    fn p_minus_1(&self, x: f64) -> f64 {
        if x == self.max { -self.rest / (1.0 + self.rest) } else { self.p(x) - 1.0 }
    }
}

fn lse_of(stat: &Result<RowStat, f64>) -> f64 {
    stat.as_ref().map_or_else(|lse| *lse, RowStat::lse)
}

/// What happens to logits before the softmax, and its derivative: formula (11).
fn chain(op: &CrossEntropy, x: f64) -> (f64, f64) {
    let (z, scale) = (x * op.logit_scale(), op.logit_scale());
    match op.softcap() {
        None => (z, scale),
        // 1 - tanh^2 = 1 / cosh^2, which keeps its digits where tanh is nearly 1.
        Some(cap) => (cap * (z / cap).tanh(), scale / (z / cap).cosh().powi(2)),
    }
}

/// A coefficient of 0 contributes 0, though its factor be infinite.
fn times(coefficient: f64, x: f64) -> f64 {
    if coefficient == 0.0 { 0.0 } else { coefficient * x }
}

/// Cross-entropy with index targets, formulas (5) to (8) and (11) to (14).
///
/// # Errors
/// [`Error`](crate::Error) if shapes disagree, an option or a target is out of range.
pub fn cross_entropy(
    op: &CrossEntropy,
    input: &CrossEntropyInput<'_>,
) -> Result<CrossEntropyOutput> {
    op.validate(input)?;
    let (rows, classes) = (input.logits.rows(), input.logits.classes());
    let logits = input.logits.values().to_f64();
    let (kept_rows, total_weight) = op.totals(&input.targets);
    let divisor = op.normalizer().unwrap_or(total_weight);
    let scale = if op.reduction() == Reduction::Mean { 1.0 / divisor } else { 1.0 };
    let dloss = match input.upstream {
        Upstream::Scalar(dloss) => vec![dloss; rows],
        Upstream::Rows(dloss) => dloss.to_f64(),
    };
    let e = op.label_smoothing();
    let smooth_class = e / classes as f64;

    let mut losses = vec![0.0; rows];
    let mut lse = vec![0.0; rows];
    let mut dlogits = vec![0.0; if op.has_gradient() { rows * classes } else { 0 }];
    for i in 0..rows {
        let target = input.targets.get(i);
        // A kept target is a class: the input was validated.
        let Some(y) = usize::try_from(target).ok().filter(|_| op.keeps(target)) else { continue };
        let x = &logits[i * classes..(i + 1) * classes];
        let z: Vec<f64> = x.iter().map(|&x| chain(op, x).0).collect();
        let stat = RowStat::of(&z);
        lse[i] = lse_of(&stat);
        let own = (1.0 - e) * op.weight(y);
        losses[i] = stat.as_ref().map_or(f64::NAN, |stat| {
            let mut smoothing = 0.0;
            for (j, z) in z.iter().enumerate() {
                smoothing += times(smooth_class * op.weight(j), stat.nll(*z));
            }
            times(own, stat.nll(z[y])) + smoothing + times(op.z_loss(), lse[i] * lse[i])
        });
        if !op.has_gradient() {
            continue;
        }
        // dz = A p - B onehot - k w, with A = B + more.
        let more = smooth_class * op.weight_sum(classes) + 2.0 * times(op.z_loss(), lse[i]);
        let g = if scale.is_infinite() { f64::NAN } else { dloss[i] * scale };
        for j in 0..classes {
            let dz = stat.as_ref().map_or(f64::NAN, |stat| {
                let p = stat.p(z[j]);
                let part = if j == y { own * stat.p_minus_1(z[j]) } else { own * p };
                part + more * p - smooth_class * op.weight(j)
            });
            dlogits[i * classes + j] = g * dz * chain(op, x[j]).1;
        }
    }

    let sum = losses.iter().sum::<f64>();
    let loss = match op.reduction() {
        Reduction::None => Loss::Rows(Array::F64(losses)),
        Reduction::Sum => Loss::Reduced(sum),
        Reduction::Mean if divisor == 0.0 => Loss::Reduced(f64::NAN),
        Reduction::Mean => Loss::Reduced(sum / divisor),
    };
    let dlogits = op.has_gradient().then_some(Array::F64(dlogits));
    Ok(CrossEntropyOutput::new(loss, Array::F64(lse), dlogits, (kept_rows, total_weight)))
}

/// The softmax of each row, formula (3).
pub fn softmax(logits: Matrix<'_>) -> Vec<f64> {
    by_row(logits, |x, out| match RowStat::of(x) {
        Ok(stat) => out.extend(x.iter().map(|&x| stat.p(x))),
        Err(_) => out.extend(x.iter().map(|_| f64::NAN)),
    })
}

/// The log-softmax of each row, formula (5) with its sign turned.
pub fn log_softmax(logits: Matrix<'_>) -> Vec<f64> {
    by_row(logits, |x, out| match RowStat::of(x) {
        Ok(stat) => out.extend(x.iter().map(|&x| -stat.nll(x))),
        Err(_) => out.extend(x.iter().map(|_| f64::NAN)),
    })
}

/// The log-sum-exp of each row, formula (2).
pub fn logsumexp(logits: Matrix<'_>) -> Vec<f64> {
    by_row(logits, |x, out| out.push(lse_of(&RowStat::of(x))))
}

/// The gradient of [`softmax`] from its result and the gradient with respect to it, formula (9).
///
/// # Errors
/// [`Error::ShapeMismatch`](crate::Error::ShapeMismatch).
pub fn softmax_backward(probs: Matrix<'_>, dprobs: Matrix<'_>) -> Result<Vec<f64>> {
    by_row_pair(probs, dprobs, |p, dp, out| {
        let dot: f64 = p.iter().zip(dp).map(|(p, dp)| p * dp).sum();
        out.extend(p.iter().zip(dp).map(|(p, dp)| p * (dp - dot)));
    })
}

/// The gradient of [`log_softmax`] from its result and the gradient with respect to it,
/// formula (10).
///
/// # Errors
/// [`Error::ShapeMismatch`](crate::Error::ShapeMismatch).
pub fn log_softmax_backward(log_probs: Matrix<'_>, dlog_probs: Matrix<'_>) -> Result<Vec<f64>> {
    by_row_pair(log_probs, dlog_probs, |lp, dlp, out| {
        let sum: f64 = dlp.iter().sum();
        out.extend(lp.iter().zip(dlp).map(|(lp, dlp)| dlp - lp.exp() * sum));
    })
}

/// The gradient of [`logsumexp`] from its input and the gradient with respect to its result.
///
/// # Errors
/// [`Error::ShapeMismatch`](crate::Error::ShapeMismatch).
pub fn logsumexp_backward(logits: Matrix<'_>, dlse: &[f64]) -> Result<Vec<f64>> {
    TransformInput { input: logits, second: None, dlse: Some(dlse.into()) }.validate()?;
    let mut dlogits = softmax(logits);
    for (row, dlse) in dlogits.chunks_mut(logits.classes().max(1)).zip(dlse) {
        for p in row {
            *p *= dlse;
        }
    }
    Ok(dlogits)
}

fn by_row(matrix: Matrix<'_>, mut f: impl FnMut(&[f64], &mut Vec<f64>)) -> Vec<f64> {
    let mut out = Vec::new();
    for x in matrix.values().to_f64().chunks(matrix.classes().max(1)) {
        f(x, &mut out);
    }
    out
}

fn by_row_pair(
    a: Matrix<'_>,
    b: Matrix<'_>,
    mut f: impl FnMut(&[f64], &[f64], &mut Vec<f64>),
) -> Result<Vec<f64>> {
    a.expect_same_shape(&b, "upstream gradient")?;
    let b = b.values().to_f64();
    let mut rows_of_b = b.chunks(a.classes().max(1));
    Ok(by_row(a, |a, out| f(a, rows_of_b.next().unwrap_or_default(), out)))
}

/// Whichever of the row transforms is asked for.
pub(crate) fn transform(op: Transform, input: &TransformInput<'_>) -> Result<Array> {
    input.validate()?;
    let second = input.second.unwrap_or(input.input);
    Ok(Array::F64(match op {
        Transform::Softmax => softmax(input.input),
        Transform::LogSoftmax => log_softmax(input.input),
        Transform::LogSumExp => logsumexp(input.input),
        Transform::SoftmaxBackward => softmax_backward(input.input, second)?,
        Transform::LogSoftmaxBackward => log_softmax_backward(input.input, second)?,
        Transform::LogSumExpBackward => {
            logsumexp_backward(input.input, &input.dlse.map_or_else(Vec::new, |d| d.to_f64()))?
        }
    }))
}
