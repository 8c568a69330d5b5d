//! ndarray, its rows in parallel.

use ndarray::{ArrayView1, ArrayView2, ArrayViewMut1, ArrayViewMut2, Zip};
use rayon::prelude::*;

use super::contest::{Answer, Contestant, Op, Role};
use super::data::{Batch, Shape};

const NAME: &str = "ndarray";

pub fn contestant(op: Op) -> Option<Contestant<f32>> {
    let run: fn(&Batch<f32>, &mut [f32]) -> f64 = match op {
        Op::Loss => {
            return Some(Contestant::new(NAME, Role::Peer, Answer::Loss, |batch, _| loss(batch)));
        }
        Op::LossGradient => loss_gradient,
        Op::LossGradientInPlace => return None,
        Op::Softmax => softmax,
        Op::LogSoftmax => log_softmax,
    };
    let run = move |batch: &Batch<f32>, memory: &mut super::data::Memory<f32>| {
        run(batch, &mut memory.out)
    };
    Some(Contestant::new(NAME, Role::Peer, Answer::Out, run))
}

fn loss(batch: &Batch<f32>) -> f64 {
    let x = view(&batch.logits, batch.shape);
    let rows = x.outer_iter().into_par_iter().zip(&batch.targets);
    let losses = rows.map(|(x, target)| {
        let (max, sum) = max_and_sum(&x);
        f64::from(max + sum.ln() - x[*target as usize])
    });
    losses.sum::<f64>() / batch.shape.rows as f64
}

fn loss_gradient(batch: &Batch<f32>, out: &mut [f32]) -> f64 {
    let scale = batch.scale();
    rows(batch, out, |x, target, mut out| {
        let (max, sum) = exps(&x, &mut out);
        let loss = max + sum.ln() - x[target];
        out *= scale / sum;
        out[target] -= scale;
        f64::from(loss)
    })
}

fn softmax(batch: &Batch<f32>, out: &mut [f32]) -> f64 {
    rows(batch, out, |x, _, mut out| {
        let (_, sum) = exps(&x, &mut out);
        out /= sum;
        0.0
    })
}

fn log_softmax(batch: &Batch<f32>, out: &mut [f32]) -> f64 {
    rows(batch, out, |x, _, out| {
        let (max, sum) = max_and_sum(&x);
        let log_sum = sum.ln();
        Zip::from(out).and(x).for_each(|out, x| *out = (x - max) - log_sum);
        0.0
    })
}

/// The mean of what `row` makes of each row.
fn rows(
    batch: &Batch<f32>,
    out: &mut [f32],
    row: impl Fn(ArrayView1<'_, f32>, usize, ArrayViewMut1<'_, f32>) -> f64 + Sync,
) -> f64 {
    let x = view(&batch.logits, batch.shape);
    let shape = (batch.shape.rows, batch.shape.classes);
    let mut out = ArrayViewMut2::from_shape(shape, out).expect("its shape");
    let rows = x.outer_iter().into_par_iter().zip(out.outer_iter_mut());
    let losses = rows.zip(&batch.targets).map(|((x, out), target)| row(x, *target as usize, out));
    losses.sum::<f64>() / batch.shape.rows as f64
}

fn view(values: &[f32], shape: Shape) -> ArrayView2<'_, f32> {
    ArrayView2::from_shape((shape.rows, shape.classes), values).expect("its shape")
}

fn max(x: &ArrayView1<'_, f32>) -> f32 {
    x.fold(f32::NEG_INFINITY, |max, x| max.max(*x))
}

fn max_and_sum(x: &ArrayView1<'_, f32>) -> (f32, f32) {
    let max = max(x);
    (max, x.fold(0.0, |sum, x| sum + (x - max).exp()))
}

/// Leaves `exp(x - max)` in `out`; the maximum and their sum.
fn exps(x: &ArrayView1<'_, f32>, out: &mut ArrayViewMut1<'_, f32>) -> (f32, f32) {
    let max = max(x);
    Zip::from(&mut *out).and(x).for_each(|out, x| *out = (x - max).exp());
    (max, out.sum())
}
