//! One operation on one batch, and all who can do it.

use std::hint::black_box;
use std::time::{Duration, Instant};

use surprisal::cpu::InstructionSet;
use surprisal::{Device, Dtype};

use super::check::Want;
use super::data::{Batch, Block, Memory, Number, Shape};
use super::{ceilings, naive, ndarray, ours, rten};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Loss,
    LossGradient,
    LossGradientInPlace,
    Softmax,
    LogSoftmax,
}

impl Op {
    pub const ALL: [Self; 5] = [
        Self::Loss,
        Self::LossGradient,
        Self::LossGradientInPlace,
        Self::Softmax,
        Self::LogSoftmax,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::LossGradient => "loss+gradient",
            Self::LossGradientInPlace => "loss+gradient-in-place",
            Self::Softmax => "softmax",
            Self::LogSoftmax => "log-softmax",
        }
    }

    /// Bytes that have to be moved for each of the batch's: read once, and written once.
    pub fn passes(self) -> usize {
        if self == Self::Loss { 1 } else { 2 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Ours,
    Peer,
    Ceiling,
}

/// Where an answer is, to be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// In what is returned, and nowhere else.
    Loss,
    Out,
    InPlace,
    Blocks,
    /// The batch's words, added up.
    Sum,
    /// The batch, in `out`.
    Copied,
    /// The batch with all bits inverted, in place.
    Inverted,
    /// Checked in another contest.
    Unchecked,
}

type Run<T> = Box<dyn FnMut(&Batch<T>, &mut Memory<T>) -> f64>;

pub struct Contestant<T> {
    pub name: &'static str,
    pub role: Role,
    answer: Answer,
    run: Run<T>,
}

impl<T> Contestant<T> {
    pub fn new(
        name: &'static str,
        role: Role,
        answer: Answer,
        run: impl FnMut(&Batch<T>, &mut Memory<T>) -> f64 + 'static,
    ) -> Self {
        Self { name, role, answer, run: Box::new(run) }
    }

    /// The loss, if it is one.
    pub fn run(&mut self, batch: &Batch<T>, memory: &mut Memory<T>) -> f64 {
        (self.run)(batch, memory)
    }
}

/// An element type that contests are held in.
pub trait Contested: Number {
    /// Who can do it beside this crate and a plain loop.
    fn peers(op: Op, set: InstructionSet) -> Vec<Contestant<Self>>;
}

impl Contested for f32 {
    fn peers(op: Op, _: InstructionSet) -> Vec<Contestant<Self>> {
        rten::contestants(op).into_iter().chain(ndarray::contestant(op)).collect()
    }
}

impl Contested for half::f16 {
    fn peers(op: Op, set: InstructionSet) -> Vec<Contestant<Self>> {
        vec![ours::as_f32(op, device(set))]
    }
}

impl Contested for half::bf16 {
    fn peers(op: Op, set: InstructionSet) -> Vec<Contestant<Self>> {
        vec![ours::as_f32(op, device(set))]
    }
}

/// The CPU path.
///
/// # Panics
/// If this processor does not have these instructions.
pub fn device(set: InstructionSet) -> Device {
    Device::cpu_with(set).expect("this processor has it")
}

/// This crate first, then its peers, then the ceilings.
pub fn contestants<T: Contested>(op: Op, set: InstructionSet) -> Vec<Contestant<T>> {
    let mut all = vec![ours::contestant(op, device(set))];
    all.extend(T::peers(op, set));
    all.push(naive::contestant(op));
    all.extend(ceilings_of(op));
    all
}

fn ceilings_of<T: Number>(op: Op) -> Vec<Contestant<T>> {
    let words = bytemuck::cast_slice::<T, u32>;
    let words_mut = bytemuck::cast_slice_mut::<T, u32>;
    let role = Role::Ceiling;
    if op == Op::LossGradientInPlace {
        return vec![Contestant::new(
            "write in place",
            role,
            Answer::Inverted,
            move |_, memory| {
                ceilings::invert(words_mut(&mut memory.in_place));
                0.0
            },
        )];
    }
    let mut all = vec![Contestant::new("read", role, Answer::Sum, move |batch: &Batch<T>, _| {
        f64::from(ceilings::read(words(&batch.logits)))
    })];
    if op != Op::Loss {
        all.push(Contestant::new(
            "copy past the caches",
            role,
            Answer::Copied,
            move |batch, memory| {
                ceilings::copy_streamed(words(&batch.logits), words_mut(&mut memory.out));
                0.0
            },
        ));
        all.push(Contestant::new("plain copy", role, Answer::Copied, move |batch, memory| {
            ceilings::copy(words(&batch.logits), words_mut(&mut memory.out));
            0.0
        }));
    }
    all
}

pub struct Contest<T> {
    pub op: Op,
    pub contestants: Vec<Contestant<T>>,
    batch: Batch<T>,
    memory: Memory<T>,
    want: Want,
}

impl<T: Contested> Contest<T> {
    pub fn new(op: Op, shape: Shape, contestants: Vec<Contestant<T>>) -> Self {
        let batch = Batch::new(shape);
        let want = Want::new(op, &batch);
        Self { op, contestants, memory: Memory::new(shape), batch, want }
    }

    /// How long one of them takes.
    pub fn time(&mut self, index: usize) -> Duration {
        // Even for those that leave the logits alone: the caches are to be the same for everyone.
        if self.op == Op::LossGradientInPlace {
            self.memory.in_place.copy_from_slice(&self.batch.logits);
        }
        let start = Instant::now();
        black_box(self.contestants[index].run(&self.batch, &mut self.memory));
        start.elapsed()
    }

    /// # Panics
    /// If the answer of one of them is wrong.
    pub fn check(&mut self, index: usize) {
        let Self { contestants, batch, memory, want, .. } = self;
        memory.out.fill(T::from_f32(f32::NAN));
        memory.in_place.copy_from_slice(&batch.logits);
        memory.blocks.iter_mut().for_each(Block::clear);
        let contestant = &mut contestants[index];
        let returned = contestant.run(batch, memory);
        let who =
            format!("{}, {} of {}x{}", contestant.name, self.op.name(), batch.shape, T::DTYPE);
        let words = bytemuck::cast_slice::<T, u32>;
        match contestant.answer {
            Answer::Unchecked => return,
            Answer::Sum => {
                let sum = words(&batch.logits).iter().fold(0, |sum: u32, x| sum.wrapping_add(*x));
                assert_eq!(returned, f64::from(sum), "{who}");
                return;
            }
            Answer::Copied => {
                assert!(words(&memory.out) == words(&batch.logits), "{who}");
                return;
            }
            Answer::Inverted => {
                let pairs = words(&memory.in_place).iter().zip(words(&batch.logits));
                assert!(pairs.into_iter().all(|(x, y)| *x == !y), "{who}");
                return;
            }
            Answer::Loss => {}
            Answer::Out => want.expect_matrix(&who, memory.out.iter().copied()),
            Answer::InPlace => want.expect_matrix(&who, memory.in_place.iter().copied()),
            Answer::Blocks => {
                want.expect_matrix(&who, memory.blocks.iter().flat_map(Block::rows).copied());
            }
        }
        want.expect_loss(&who, returned);
    }
}

/// The dtypes that there are contests in.
pub fn dtype(name: &str) -> Option<Dtype> {
    [Dtype::F32, Dtype::Bf16, Dtype::F16].into_iter().find(|dtype| dtype.to_string() == name)
}
