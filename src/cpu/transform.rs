//! Softmax, log-softmax, logsumexp and their backward, row by row.

use crate::cpu::{RowStat, for_each_row, for_each_row_with_columns};
use crate::dtype::Element;
use crate::error::Result;
use crate::matrix::{Array, Values};
use crate::op::{Transform, TransformInput};

pub(crate) fn transform(op: Transform, input: &TransformInput<'_>) -> Result<Array> {
    input.validate()?;
    let classes = input.input.classes();
    let dlse = input.dlse.map(|dlse| dlse.to_f32());
    let second = input.second.map(|m| m.values());
    macro_rules! run {
        ($variant:ident, $x:expr) => {{
            let dy = match second {
                Some(Values::$variant(dy)) => dy,
                _ => &[],
            };
            run(op, $x, dy, dlse.as_deref().unwrap_or_default(), classes)
        }};
    }
    Ok(match input.input.values() {
        Values::F16(x) => run!(F16, x),
        Values::Bf16(x) => run!(Bf16, x),
        Values::F32(x) => run!(F32, x),
        Values::F64(x) => run!(F64, x),
    })
}

fn run<T: Element>(op: Transform, x: &[T], dy: &[T], dlse: &[f32], classes: usize) -> Array
where
    Vec<T>: Into<Array>,
{
    let rows = x.len() / classes.max(1);
    let range = |row: usize| row * classes..(row + 1) * classes;
    if op == Transform::LogSumExp {
        let mut lse = vec![0.0f32; rows];
        for_each_row(classes, &mut lse, |row, lse| *lse = RowStat::of(&x[range(row)]).lse());
        return Array::F32(lse);
    }
    let mut out = vec![T::from_f32(0.0); x.len()];
    let mut nothing = vec![(); rows];
    for_each_row_with_columns(classes, &mut out, &mut nothing, |row, out, ()| {
        let x = &x[range(row)];
        match op {
            Transform::Softmax => scaled_exp(x, 1.0, out),
            Transform::LogSumExpBackward => scaled_exp(x, dlse[row], out),
            Transform::LogSoftmax => log_softmax(x, out),
            Transform::SoftmaxBackward => softmax_backward(x, &dy[range(row)], out),
            Transform::LogSoftmaxBackward => log_softmax_backward(x, &dy[range(row)], out),
            Transform::LogSumExp => {}
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

fn log_softmax<T: Element>(x: &[T], out: &mut [T]) {
    let stat = RowStat::of(x);
    // log of a NaN sum poisons a row that has no softmax.
    let log_sum = if stat.is_defined() { stat.rest().ln_1p() } else { f32::NAN };
    map(x, out, |x| (x - stat.max()) - log_sum);
}

fn softmax_backward<T: Element>(probs: &[T], dprobs: &[T], out: &mut [T]) {
    let dot = sum_by(probs.len(), &|j| probs[j].to_f32() * dprobs[j].to_f32());
    for ((out, p), dp) in out.iter_mut().zip(probs).zip(dprobs) {
        *out = T::from_f32(p.to_f32() * (dp.to_f32() - dot));
    }
}

fn log_softmax_backward<T: Element>(log_probs: &[T], dlog_probs: &[T], out: &mut [T]) {
    let sum = sum_by(log_probs.len(), &|j| dlog_probs[j].to_f32());
    for ((out, lp), dlp) in out.iter_mut().zip(log_probs).zip(dlog_probs) {
        *out = T::from_f32(dlp.to_f32() - lp.to_f32().exp() * sum);
    }
}

/// The sum of `f(0..len)`, accumulated in f64.
fn sum_by(len: usize, f: &dyn Fn(usize) -> f32) -> f32 {
    (0..len).map(|j| f64::from(f(j))).sum::<f64>() as f32
}
