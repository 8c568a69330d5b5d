//! This crate's CPU path.

use surprisal::{CrossEntropy, Device, Labels, LogSoftmax, Softmax};

use super::contest::{Answer, Contestant, Op, Role};
use super::data::{Batch, Memory, Number};

pub const NAME: &str = "surprisal";

pub fn contestant<T: Number>(op: Op, device: Device) -> Contestant<T> {
    match op {
        Op::Loss => Contestant::new(NAME, Role::Ours, Answer::Loss, move |batch, _| {
            let output = device.run(&CrossEntropy::new(), batch.input());
            output.expect("sound").loss.reduced().expect("a mean")
        }),
        Op::LossGradient => Contestant::new(NAME, Role::Ours, Answer::Out, move |batch, memory| {
            let out = T::matrix_mut(&mut memory.out, batch.shape);
            let op = CrossEntropy::new().with_gradient();
            let output = device.run_into(&op, batch.input(), out);
            output.expect("sound").loss.reduced().expect("a mean")
        }),
        Op::LossGradientInPlace => {
            Contestant::new(NAME, Role::Ours, Answer::InPlace, move |batch, memory| {
                let matrix = T::matrix_mut(&mut memory.in_place, batch.shape);
                let op = CrossEntropy::new().with_gradient();
                let labels = Labels::new(batch.labels()).with_upstream(batch.upstream());
                let output = device.run_in_place(&op, matrix, labels);
                output.expect("sound").loss.reduced().expect("a mean")
            })
        }
        Op::Softmax | Op::LogSoftmax => {
            Contestant::new(NAME, Role::Ours, Answer::Out, move |batch, memory| {
                let out = T::matrix_mut(&mut memory.out, batch.shape);
                let done = match op {
                    Op::LogSoftmax => device.run_into(&LogSoftmax, batch.matrix(), out),
                    _ => device.run_into(&Softmax, batch.matrix(), out),
                };
                done.expect("sound");
                0.0
            })
        }
    }
}

/// The same work on f32, for a contest of 16-bit numbers: it has a batch of its own.
pub fn as_f32<T: Number>(op: Op, device: Device) -> Contestant<T> {
    let mut inner = contestant::<f32>(op, device);
    let mut own: Option<(Batch<f32>, Memory<f32>)> = None;
    Contestant::new("surprisal f32", Role::Peer, Answer::Unchecked, move |batch, _| {
        let (batch, memory) =
            own.get_or_insert_with(|| (Batch::new(batch.shape), Memory::new(batch.shape)));
        inner.run(batch, memory)
    })
}
