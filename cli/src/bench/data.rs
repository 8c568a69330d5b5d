//! The data of a case, what is made of it, and whether that is right.

use half::{bf16, f16};
use rayon::prelude::*;
use surprisal::{
    Array, CrossEntropy, CrossEntropyInput, Device, Dtype, Element, LogSoftmax, Matrix, MatrixMut,
    Reduction, Softmax, Upstream,
};

use crate::bench::case::{Case, Operation};
use crate::error::{Failure, Result};

/// Elements that one thread checks at a time, roughly.
const BLOCK: usize = 1 << 16;

/// An element type that matrices may have.
pub(crate) trait Number: Element {
    /// The distance of 1 to the next number.
    const EPSILON: f64;
    fn matrix(values: &[Self], classes: usize) -> surprisal::Result<Matrix<'_>>;
    fn matrix_mut(values: &mut [Self], classes: usize) -> surprisal::Result<MatrixMut<'_>>;
}

macro_rules! number {
    ($type:ty, $epsilon:expr) => {
        impl Number for $type {
            const EPSILON: f64 = $epsilon;

            fn matrix(values: &[Self], classes: usize) -> surprisal::Result<Matrix<'_>> {
                Matrix::new(values, values.len() / classes, classes)
            }

            fn matrix_mut(values: &mut [Self], classes: usize) -> surprisal::Result<MatrixMut<'_>> {
                let rows = values.len() / classes;
                MatrixMut::new(values, rows, classes)
            }
        }
    };
}
number!(f32, f32::EPSILON as f64);
number!(f16, f16::EPSILON.to_f64_const());
number!(bf16, bf16::EPSILON.to_f64_const());

/// Logits and targets.
#[derive(Debug)]
pub(crate) struct Batch<T> {
    pub(crate) case: Case,
    pub(crate) logits: Vec<T>,
    pub(crate) targets: Vec<i32>,
}

impl<T: Number> Batch<T> {
    pub(crate) fn new(case: Case) -> Result<Self> {
        let shape = case.shape;
        // A linear congruence, spread over [-4, 4).
        let mut state = 1u64;
        let mut logits = vector(case, T::from_f32(0.0))?;
        logits.fill_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            T::from_f32((state >> 40) as f32 / (1 << 21) as f32 - 4.0)
        });
        // Of more classes than an i32 can tell, the first ones will do.
        let classes = i32::try_from(shape.classes).unwrap_or(i32::MAX);
        let all = (0..classes).step_by(7).cycle();
        let targets = all.take(shape.rows).collect();
        Ok(Self { case, logits, targets })
    }

    pub(crate) fn matrix(&self) -> Result<Matrix<'_>> {
        T::matrix(&self.logits, self.case.shape.classes).map_err(Failure::run)
    }

    /// Logits with their targets, and an upstream gradient that takes back what a mean divides by:
    /// the gradients of a large batch's mean are too small for 16 bits.
    pub(crate) fn input(&self) -> Result<CrossEntropyInput<'_>> {
        let upstream = Upstream::Scalar(self.case.shape.rows as f64);
        Ok(CrossEntropyInput::new(self.matrix()?, &self.targets[..]).with_upstream(upstream))
    }

    /// Fails unless it is what the reference says, within rounding.
    pub(crate) fn check(&self, who: &str, answer: &Answer<'_, T>) -> Result<()> {
        let shape = self.case.shape;
        let rows = (BLOCK / shape.classes).max(1);
        let logits = self.logits.par_chunks(rows * shape.classes);
        let blocks = logits.zip(self.targets.par_chunks(rows)).enumerate();
        let losses = blocks.map(|(block, (logits, targets))| {
            let (loss, want) = reference(self.case.operation, logits, targets, shape.classes)?;
            let start = block * rows * shape.classes;
            if let (Some(matrix), Some(want)) = (answer.matrix, want) {
                self.compare(who, start, &matrix[start..start + want.len()], &want)?;
            }
            Ok(loss)
        });
        let loss = losses.sum::<Result<f64>>()? / shape.rows as f64;
        match answer.loss {
            Some(got) if !is_within(got, loss, 1e-4 * loss.abs()) => {
                Err(self.wrong(who, format!("the loss is {got}, and not {loss}")))
            }
            _ => Ok(()),
        }
    }

    fn compare(&self, who: &str, start: usize, got: &[T], want: &Array) -> Result<()> {
        // A sum of 100,000 terms in f32 errs by less, and a logarithm by less than an f32 near the
        // logits; a rounding to 16 bits may err by more.
        let relative = f64::max(1e-4, T::EPSILON);
        let absolute = match (self.case.operation, T::DTYPE) {
            (Operation::LogSoftmax, _) => 1e-5,
            // The least f16 apart from 0 is this.
            (_, Dtype::F16) => f64::powi(2.0, -24),
            _ => 1e-8,
        };
        for (i, (got, want)) in got.iter().zip(want.to_f64()).enumerate() {
            let got = got.to_f64();
            if !is_within(got, want, relative * want.abs() + absolute) {
                let classes = self.case.shape.classes;
                let (row, class) = ((start + i) / classes, (start + i) % classes);
                let what = format!("row {row}, class {class} is {got}, and not {want}");
                return Err(self.wrong(who, what));
            }
        }
        Ok(())
    }

    fn wrong(&self, who: &str, what: impl std::fmt::Display) -> Failure {
        Failure::run(format!("{}: {who} is wrong: {what}", self.case))
    }
}

/// Whether it is near enough; NaN never is.
fn is_within(got: f64, want: f64, distance: f64) -> bool {
    (got - want).abs() <= distance
}

/// A matrix of a case, its pages touched.
pub(crate) fn vector<T: Number>(case: Case, fill: T) -> Result<Vec<T>> {
    let mut values = Vec::new();
    values
        .try_reserve_exact(case.shape.len())
        .map_err(|_| Failure::run(format!("{case}: there is no memory for it")))?;
    values.resize(case.shape.len(), fill);
    Ok(values)
}

/// What somebody says a case comes to.
#[derive(Debug)]
pub(crate) struct Answer<'a, T> {
    pub(crate) loss: Option<f64>,
    pub(crate) matrix: Option<&'a [T]>,
}

/// What some rows come to: the sum of their losses, and the matrix.
fn reference<T: Number>(
    operation: Operation,
    logits: &[T],
    targets: &[i32],
    classes: usize,
) -> Result<(f64, Option<Array>)> {
    let device = Device::reference();
    let matrix = T::matrix(logits, classes).map_err(Failure::run)?;
    if matches!(operation, Operation::Softmax | Operation::LogSoftmax) {
        let array = match operation {
            Operation::Softmax => device.run(&Softmax, matrix),
            _ => device.run(&LogSoftmax, matrix),
        };
        return Ok((0.0, Some(array.map_err(Failure::run)?)));
    }
    let mut op = CrossEntropy::new().with_reduction(Reduction::Sum);
    if operation == Operation::LossGradient {
        op = op.with_gradient();
    }
    let input = CrossEntropyInput::new(matrix, targets);
    let output = device.run(&op, input).map_err(Failure::run)?;
    Ok((output.loss.reduced().unwrap_or(f64::NAN), output.dlogits))
}
