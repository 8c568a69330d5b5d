//! What a program would write without thinking: plain loops over rows, which rayon spreads.

use rayon::prelude::*;

use super::contest::{Answer, Contestant, Op, Role};
use super::data::{Batch, Memory, Number};

const NAME: &str = "naive rayon loop";

pub fn contestant<T: Number>(op: Op) -> Contestant<T> {
    match op {
        Op::Loss => Contestant::new(NAME, Role::Peer, Answer::Loss, |batch, _| loss(batch)),
        Op::LossGradient => Contestant::new(NAME, Role::Peer, Answer::Out, |batch, memory| {
            let scale = batch.scale();
            rows(batch, &mut memory.out, |x: &[T], target, out: &mut [T]| {
                let log_sum = log_sum_exp(x);
                for (out, x) in out.iter_mut().zip(x) {
                    *out = T::from_f32((x.to_f32() - log_sum).exp() * scale);
                }
                let prob = (x[target].to_f32() - log_sum).exp();
                out[target] = T::from_f32((prob - 1.0) * scale);
                f64::from(log_sum - x[target].to_f32())
            })
        }),
        Op::LossGradientInPlace => Contestant::new(
            NAME,
            Role::Peer,
            Answer::InPlace,
            |batch: &Batch<T>, memory: &mut Memory<T>| {
                let classes = batch.shape.classes;
                let scale = batch.scale();
                let rows = memory.in_place.par_chunks_exact_mut(classes).zip(&batch.targets);
                let losses = rows.map(|(x, target)| {
                    let target = *target as usize;
                    let log_sum = log_sum_exp(x);
                    let logit = x[target].to_f32();
                    for x in &mut *x {
                        *x = T::from_f32((x.to_f32() - log_sum).exp() * scale);
                    }
                    let prob = (logit - log_sum).exp();
                    x[target] = T::from_f32((prob - 1.0) * scale);
                    f64::from(log_sum - logit)
                });
                losses.sum::<f64>() / batch.shape.rows as f64
            },
        ),
        Op::Softmax => Contestant::new(NAME, Role::Peer, Answer::Out, |batch, memory| {
            rows(batch, &mut memory.out, |x: &[T], _, out: &mut [T]| {
                let log_sum = log_sum_exp(x);
                for (out, x) in out.iter_mut().zip(x) {
                    *out = T::from_f32((x.to_f32() - log_sum).exp());
                }
                0.0
            })
        }),
        Op::LogSoftmax => Contestant::new(NAME, Role::Peer, Answer::Out, |batch, memory| {
            rows(batch, &mut memory.out, |x: &[T], _, out: &mut [T]| {
                let log_sum = log_sum_exp(x);
                for (out, x) in out.iter_mut().zip(x) {
                    *out = T::from_f32(x.to_f32() - log_sum);
                }
                0.0
            })
        }),
    }
}

fn loss<T: Number>(batch: &Batch<T>) -> f64 {
    let rows = batch.logits.par_chunks_exact(batch.shape.classes).zip(&batch.targets);
    let losses = rows.map(|(x, target)| f64::from(log_sum_exp(x) - x[*target as usize].to_f32()));
    losses.sum::<f64>() / batch.shape.rows as f64
}

/// The mean of what `row` makes of each row.
fn rows<T: Number>(
    batch: &Batch<T>,
    out: &mut [T],
    row: impl Fn(&[T], usize, &mut [T]) -> f64 + Sync,
) -> f64 {
    let classes = batch.shape.classes;
    let rows = batch.logits.par_chunks_exact(classes).zip(out.par_chunks_exact_mut(classes));
    let losses = rows.zip(&batch.targets).map(|((x, out), target)| row(x, *target as usize, out));
    losses.sum::<f64>() / batch.shape.rows as f64
}

fn log_sum_exp<T: Number>(x: &[T]) -> f32 {
    let max = x.iter().fold(f32::NEG_INFINITY, |max, x| max.max(x.to_f32()));
    let sum: f32 = x.iter().map(|x| (x.to_f32() - max).exp()).sum();
    max + sum.ln()
}
