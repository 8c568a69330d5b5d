//! Softmax, log-softmax, logsumexp, entropy, surprisal and their backward, row by row.

use crate::cpu::{RowStat, as_f32, for_each_row, for_each_row_with_columns, sum_by, times};
use crate::dtype::Element;
use crate::error::Result;
use crate::matrix::{Array, Values};
use crate::op::{Transform, TransformInput};

pub(crate) fn transform(op: Transform, input: &TransformInput<'_>) -> Result<Array> {
    input.validate()?;
    let classes = input.input.classes();
    let unit = input.unit.per_nat() as f32;
    let drows = input.drows.map(|(_, drows)| drows.to_f32());
    let second = input.second.map(|m| m.values());
    macro_rules! run {
        ($variant:ident, $x:expr) => {{
            let dy = match second {
                Some(Values::$variant(dy)) => dy,
                _ => &[],
            };
            let drows = drows.as_deref().unwrap_or_default();
            run(op, $x, dy, drows, classes, unit)
        }};
    }
    Ok(match input.input.values() {
        Values::F16(x) => run!(F16, x),
        Values::Bf16(x) => run!(Bf16, x),
        Values::F32(x) => run!(F32, x),
        Values::F64(x) => run!(F64, x),
    })
}

fn run<T: Element>(
    op: Transform,
    x: &[T],
    dy: &[T],
    drows: &[f32],
    classes: usize,
    unit: f32,
) -> Array
where
    Vec<T>: Into<Array>,
{
    let rows = x.len() / classes.max(1);
    let range = |row: usize| row * classes..(row + 1) * classes;
    if op.reduces() {
        let mut results = vec![0.0f32; rows];
        for_each_row(classes, &mut results, |row, result| {
            let x = &x[range(row)];
            *result = match op {
                Transform::Entropy => unit * entropy(RowStat::of(x), &as_f32(x)),
                _ => RowStat::of(x).lse(),
            };
        });
        return Array::F32(results);
    }
    let mut out = vec![T::from_f32(0.0); x.len()];
    let mut nothing = vec![(); rows];
    for_each_row_with_columns(classes, &mut out, &mut nothing, |row, out, ()| {
        let x = &x[range(row)];
        match op {
            Transform::Softmax => scaled_exp(x, 1.0, out),
            Transform::LogSumExpBackward => scaled_exp(x, drows[row], out),
            Transform::LogSoftmax => log_softmax(x, -1.0, out),
            Transform::Surprisal => log_softmax(x, unit, out),
            Transform::EntropyBackward => entropy_backward(x, unit * drows[row], out),
            Transform::SoftmaxBackward => softmax_backward(x, &dy[range(row)], out),
            Transform::LogSoftmaxBackward => log_softmax_backward(x, &dy[range(row)], out),
            Transform::LogSumExp | Transform::Entropy => {}
        }
    });
    out.into()
}

fn map<T: Element>(x: &[T], out: &mut [T], f: impl Fn(f32) -> f32) {
    for (out, x) in out.iter_mut().zip(x) {
        *out = T::from_f32(f(x.to_f32()));
    }
}

fn scaled_exp<T: Element>(x: &[T], upstream: f32, out: &mut [T]) {
    let stat = RowStat::of(x);
    let scale = upstream / stat.sum();
    map(x, out, |x| (x - stat.max()).exp() * scale);
}

/// `scale` times the surprisal: -1 for log-softmax.
fn log_softmax<T: Element>(x: &[T], scale: f32, out: &mut [T]) {
    let stat = RowStat::of(x);
    map(x, out, |x| scale * stat.nll(x));
}

/// Formula (21): two terms of one sign.
fn entropy(stat: RowStat, x: &[f32]) -> f32 {
    let term = |j: usize| times((x[j] - stat.max()).exp(), stat.max() - x[j]);
    sum_by(x.len(), term) / stat.sum() + stat.rest().ln_1p()
}

fn entropy_backward<T: Element>(x: &[T], dentropy: f32, out: &mut [T]) {
    let stat = RowStat::of(x);
    let entropy = entropy(stat, &as_f32(x));
    map(x, out, |x| {
        let p = (x - stat.max()).exp() / stat.sum();
        times(dentropy * p, stat.nll(x) - entropy)
    });
}

fn softmax_backward<T: Element>(probs: &[T], dprobs: &[T], out: &mut [T]) {
    let dot = sum_by(probs.len(), |j| probs[j].to_f32() * dprobs[j].to_f32());
    for ((out, p), dp) in out.iter_mut().zip(probs).zip(dprobs) {
        *out = T::from_f32(p.to_f32() * (dp.to_f32() - dot));
    }
}

fn log_softmax_backward<T: Element>(log_probs: &[T], dlog_probs: &[T], out: &mut [T]) {
    let sum = sum_by(log_probs.len(), |j| dlog_probs[j].to_f32());
    for ((out, lp), dlp) in out.iter_mut().zip(log_probs).zip(dlog_probs) {
        *out = T::from_f32(dlp.to_f32() - lp.to_f32().exp() * sum);
    }
}
