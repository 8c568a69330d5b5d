//! rten-vecmath, its operations composed row by row, rows in parallel; and a kernel of one's own on
//! rten-simd, which is what a program could do that wants more.
//!
//! Its operations choose their instructions when they run, but not all of their closures are
//! inlined into what was compiled for these: `RUSTFLAGS="-C target-cpu=native"` shows them at their
//! best.

use std::mem::MaybeUninit;

use rayon::prelude::*;
use rten_simd::functional::simd_map;
use rten_simd::ops::{BitOps as _, NumOps as _};
use rten_simd::{Isa, Simd as _, SimdIterable as _, SimdOp, SimdUnaryOp as _};
use rten_vecmath::{Exp, ExtendInit as _, LogSoftmax, MinMax, Softmax, SumExpSub};

use super::contest::{Answer, Contestant, Op, Role};
use super::data::{Batch, Block, Memory};

const BY_SUM: &str = "rten-vecmath max and sum";
const BY_SOFTMAX: &str = "rten-vecmath softmax";
const BY_LOG_SOFTMAX: &str = "rten-vecmath log-softmax";
const OWN: &str = "rten-simd kernel";

/// Sums and maxima beside each other, to hide the latency of an addition.
const UNROLL: usize = 4;

/// A row to be written, before it is.
type Unwritten<'a> = &'a mut [MaybeUninit<f32>];

pub fn contestants(op: Op) -> Vec<Contestant<f32>> {
    match op {
        Op::Loss => vec![
            of_loss(BY_SUM, |x, target, _| {
                let (_, max) = MinMax::new(x).dispatch();
                max + SumExpSub::new(x, max).dispatch().ln() - x[target]
            }),
            of_loss(BY_LOG_SOFTMAX, |x, target, scratch| {
                scratch.clear();
                scratch.extend_init(|out| LogSoftmax::new(x, &mut out[..x.len()]).dispatch());
                -scratch[target]
            }),
            of_loss(OWN, |x, target, _| {
                let (max, sum) = MaxAndSum(x).dispatch();
                max + sum.ln() - x[target]
            }),
        ],
        Op::LossGradient => vec![
            of_matrix(BY_SOFTMAX, |row, out| {
                let probs = out.push(row.x.len(), |out| Softmax::new(row.x, out).dispatch());
                row.gradient_of_probs(probs)
            }),
            of_matrix(BY_LOG_SOFTMAX, |row, out| {
                let log_probs = out.push(row.x.len(), |out| LogSoftmax::new(row.x, out).dispatch());
                let loss = -log_probs[row.target];
                Exp {}.map_mut(log_probs);
                row.gradient_of_probs(log_probs);
                loss
            }),
            of_matrix(OWN, |row, out| {
                let (max, sum) = MaxAndSum(row.x).dispatch();
                let scale = row.scale / sum;
                let gradient = out
                    .push(row.x.len(), |out| ScaledExps { x: row.x, out, max, scale }.dispatch());
                gradient[row.target] -= row.scale;
                max + sum.ln() - row.x[row.target]
            }),
        ],
        Op::LossGradientInPlace => vec![in_place(BY_SOFTMAX)],
        Op::Softmax => vec![of_matrix(BY_SOFTMAX, |row, out| {
            out.push(row.x.len(), |out| Softmax::new(row.x, out).dispatch());
            0.0
        })],
        Op::LogSoftmax => vec![of_matrix(BY_LOG_SOFTMAX, |row, out| {
            out.push(row.x.len(), |out| LogSoftmax::new(row.x, out).dispatch());
            0.0
        })],
    }
}

#[derive(Clone, Copy)]
struct Row<'a> {
    x: &'a [f32],
    target: usize,
    /// What the gradient is multiplied by.
    scale: f32,
}

impl Row<'_> {
    /// The gradient, over the row's probabilities; and its loss.
    fn gradient_of_probs(self, probs: &mut [f32]) -> f32 {
        let loss = -probs[self.target].ln();
        probs[self.target] -= 1.0;
        for prob in probs {
            *prob *= self.scale;
        }
        loss
    }
}

impl Block {
    /// Appends what `write` makes of a row's memory.
    fn push(&mut self, classes: usize, write: impl Fn(Unwritten<'_>) -> &[f32]) -> &mut [f32] {
        let at = self.values.len();
        self.values.extend_init(|out| write(&mut out[..classes]));
        &mut self.values[at..]
    }
}

fn of_loss(
    name: &'static str,
    row: impl Fn(&[f32], usize, &mut Vec<f32>) -> f32 + Sync + 'static,
) -> Contestant<f32> {
    Contestant::new(name, Role::Peer, Answer::Loss, move |batch: &Batch<f32>, _| {
        let Batch { shape, logits, targets, .. } = batch;
        let rows = logits.par_chunks_exact(shape.classes).zip(targets);
        let losses = rows.map_init(
            || Vec::with_capacity(shape.classes),
            |scratch, (x, target)| f64::from(row(x, *target as usize, scratch)),
        );
        losses.sum::<f64>() / shape.rows as f64
    })
}

fn of_matrix(
    name: &'static str,
    row: impl Fn(Row<'_>, &mut Block) -> f32 + Sync + 'static,
) -> Contestant<f32> {
    let run = move |batch: &Batch<f32>, memory: &mut Memory<f32>| {
        let Batch { shape, logits, targets, .. } = batch;
        let scale = batch.scale();
        let rows = shape.rows_of_block();
        let blocks = logits.par_chunks(rows * shape.classes).zip(targets.par_chunks(rows));
        let losses = blocks.zip(&mut memory.blocks).map(|((x, targets), block)| {
            block.clear();
            let rows = x.chunks_exact(shape.classes).zip(targets);
            let rows = rows.map(|(x, target)| Row { x, target: *target as usize, scale });
            rows.map(|of| f64::from(row(of, block))).sum::<f64>()
        });
        losses.sum::<f64>() / shape.rows as f64
    };
    Contestant::new(name, Role::Peer, Answer::Blocks, run)
}

fn in_place(name: &'static str) -> Contestant<f32> {
    Contestant::new(name, Role::Peer, Answer::InPlace, |batch: &Batch<f32>, memory| {
        let shape = batch.shape;
        let scale = batch.scale();
        let rows = memory.in_place.par_chunks_exact_mut(shape.classes).zip(&batch.targets);
        let losses = rows.map(|(x, target)| {
            let row = Row { x: &[], target: *target as usize, scale };
            f64::from(row.gradient_of_probs(Softmax::new_mut(x).dispatch()))
        });
        losses.sum::<f64>() / shape.rows as f64
    })
}

/// The maximum of a row, and the sum of each `exp(x - max)`.
struct MaxAndSum<'a>(&'a [f32]);

impl SimdOp for MaxAndSum<'_> {
    type Output = (f32, f32);

    #[expect(clippy::inline_always, reason = "into what is compiled for the instruction set")]
    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) -> (f32, f32) {
        let ops = isa.f32();
        let max = self.0.simd_iter(ops).fold_unroll::<UNROLL>(
            ops.splat(f32::NEG_INFINITY),
            #[inline(always)]
            |max, x| ops.max(max, x),
            #[inline(always)]
            |a, b| ops.max(a, b),
        );
        let max = max.to_array().into_iter().fold(f32::NEG_INFINITY, f32::max);
        let of_all = ops.splat(max);
        let sum = self.0.simd_iter(ops).fold_unroll::<UNROLL>(
            ops.zero(),
            #[inline(always)]
            |sum, x| ops.add(sum, Exp::apply(isa, ops.sub(x, of_all))),
            #[inline(always)]
            |a, b| ops.add(a, b),
        );
        (max, sum.to_array().into_iter().sum())
    }
}

/// Each `exp(x - max) * scale`.
struct ScaledExps<'x, 'out> {
    x: &'x [f32],
    out: Unwritten<'out>,
    max: f32,
    scale: f32,
}

impl<'out> SimdOp for ScaledExps<'_, 'out> {
    type Output = &'out mut [f32];

    #[expect(clippy::inline_always, reason = "into what is compiled for the instruction set")]
    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) -> &'out mut [f32] {
        let ops = isa.f32();
        let (max, scale) = (ops.splat(self.max), ops.splat(self.scale));
        simd_map(
            ops,
            (self.x, self.out),
            #[inline(always)]
            |x| ops.mul(Exp::apply(isa, ops.sub(x, max)), scale),
        )
    }
}
