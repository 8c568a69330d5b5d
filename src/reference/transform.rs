//! The row transforms, formulas (2) to (5), (9), (10) and (21), and the backward of each.

use super::{RowStat, lse_of, times};
use crate::error::Result;
use crate::matrix::{Array, Matrix};
use crate::op::{Data, Transform, Unit, Upstream, counts};

/// The softmax of each row, formula (3).
fn softmax(logits: Matrix<'_>) -> Vec<f64> {
    by_row(logits, |x, out| match RowStat::of(x) {
        Ok(stat) => out.extend(x.iter().map(|&x| stat.p(x))),
        Err(_) => out.extend(x.iter().map(|_| f64::NAN)),
    })
}

/// The log-softmax of each row, formula (5) with its sign turned.
fn log_softmax(logits: Matrix<'_>) -> Vec<f64> {
    by_row(logits, |x, out| match RowStat::of(x) {
        Ok(stat) => out.extend(x.iter().map(|&x| -stat.nll(x))),
        Err(_) => out.extend(x.iter().map(|_| f64::NAN)),
    })
}

/// The log-sum-exp of each row, formula (2).
fn logsumexp(logits: Matrix<'_>) -> Vec<f64> {
    by_row(logits, |x, out| out.push(lse_of(&RowStat::of(x))))
}

/// The gradient of the softmax from its result and the gradient with respect to it, formula (9).
fn softmax_backward(probs: Matrix<'_>, dprobs: Matrix<'_>) -> Vec<f64> {
    by_row_pair(probs, dprobs, |p, dp, out| {
        let dot: f64 = p.iter().zip(dp).map(|(p, dp)| p * dp).sum();
        out.extend(p.iter().zip(dp).map(|(p, dp)| p * (dp - dot)));
    })
}

/// The gradient of the log-softmax from its result and the gradient with respect to it,
/// formula (10).
fn log_softmax_backward(log_probs: Matrix<'_>, dlog_probs: Matrix<'_>) -> Vec<f64> {
    by_row_pair(log_probs, dlog_probs, |lp, dlp, out| {
        let sum: f64 = dlp.iter().sum();
        out.extend(lp.iter().zip(dlp).map(|(lp, dlp)| dlp - lp.exp() * sum));
    })
}

/// The gradient of the log-sum-exp from its input and the gradient with respect to its result.
fn logsumexp_backward(logits: Matrix<'_>, dlse: &[f64]) -> Vec<f64> {
    let mut dlogits = softmax(logits);
    for (row, dlse) in dlogits.chunks_mut(logits.columns().max(1)).zip(dlse) {
        for p in row {
            *p *= dlse;
        }
    }
    dlogits
}

/// The entropy of each row's softmax, formula (21), in nats.
fn entropy(logits: Matrix<'_>) -> Vec<f64> {
    by_row(logits, |x, out| out.push(RowStat::of(x).map_or(f64::NAN, |stat| entropy_of(&stat, x))))
}

fn entropy_of(stat: &RowStat, x: &[f64]) -> f64 {
    x.iter().map(|&x| times(stat.p(x), stat.nll(x))).sum()
}

/// The gradient of the entropy from its input and the gradient with respect to its result, formula
/// (21).
fn entropy_backward(logits: Matrix<'_>, dentropy: &[f64]) -> Vec<f64> {
    let mut dentropy = dentropy.iter();
    by_row(logits, |x, out| {
        let dentropy = dentropy.next().copied().unwrap_or_default();
        match RowStat::of(x) {
            Ok(stat) => {
                let entropy = entropy_of(&stat, x);
                let column = |&x: &f64| times(dentropy * stat.p(x), stat.nll(x) - entropy);
                out.extend(x.iter().map(column));
            }
            Err(_) => out.extend(x.iter().map(|_| f64::NAN)),
        }
    })
}

/// The surprisal of each class, formula (5), in nats.
fn surprisal(logits: Matrix<'_>) -> Vec<f64> {
    log_softmax(logits).into_iter().map(|log_prob| -log_prob).collect()
}

fn by_row(matrix: Matrix<'_>, mut f: impl FnMut(&[f64], &mut Vec<f64>)) -> Vec<f64> {
    let mut out = Vec::new();
    for x in matrix.values().to_f64().chunks(matrix.columns().max(1)) {
        f(x, &mut out);
    }
    out
}

fn by_row_pair(
    a: Matrix<'_>,
    b: Matrix<'_>,
    mut f: impl FnMut(&[f64], &[f64], &mut Vec<f64>),
) -> Vec<f64> {
    let b = b.values().to_f64();
    let mut rows_of_b = b.chunks(a.columns().max(1));
    by_row(a, |a, out| f(a, rows_of_b.next().unwrap_or_default(), out))
}

/// Whichever of the row transforms is asked for.
pub(super) fn transform(op: Transform, unit: Unit, input: &Data<'_>) -> Result<Array> {
    op.validate(input)?;
    let second = input.second.unwrap_or(input.input);
    let drows = match input.upstream {
        Upstream::Each(drows) => drows.to_f64(),
        Upstream::Scalar(_) => Vec::new(),
    };
    let mut result = match op {
        Transform::Softmax => softmax(input.input),
        Transform::LogSoftmax => log_softmax(input.input),
        Transform::LogSumExp => logsumexp(input.input),
        Transform::SoftmaxBackward => softmax_backward(input.input, second),
        Transform::LogSoftmaxBackward => log_softmax_backward(input.input, second),
        Transform::LogSumExpBackward => logsumexp_backward(input.input, &drows),
        Transform::Entropy => entropy(input.input),
        Transform::EntropyBackward => entropy_backward(input.input, &drows),
        Transform::Surprisal => surprisal(input.input),
    };
    // A row that does not count comes to 0, whatever was made of it.
    let columns = result.len() / input.input.rows().max(1);
    for row in (0..input.input.rows()).filter(|&row| !counts(input.mask, row)) {
        result[row * columns..][..columns].fill(0.0);
    }
    if unit != Unit::Nats {
        for x in &mut result {
            *x *= unit.per_nat();
        }
    }
    Ok(Array::F64(result))
}
