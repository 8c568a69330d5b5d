//! What runs on the CPU: the CPU path, the reference, and the memory's own speed.

use std::cell::RefCell;
use std::hint::black_box;
use std::time::Instant;

use rayon::prelude::*;
use surprisal::{CrossEntropy, Device, LogSoftmax, Softmax};

use crate::bench::case::Operation;
use crate::bench::data::{Answer, Batch, Number};
use crate::bench::measure::{Entrant, Sample, Who};
use crate::error::{Failure, Result};

/// Elements that one thread copies or reads at a time.
const BLOCK: usize = 1 << 16;
/// Elements of a matrix that one thread may copy faster than several, at most.
const SMALL: usize = 4 * BLOCK;
/// Words added up beside each other, so that no addition waits for the one before.
const SUMS: usize = 64;

/// A batch in host memory, and the memory that results are written to.
pub(crate) struct Host<'a, T> {
    pub(crate) batch: &'a Batch<T>,
    pub(crate) out: RefCell<Vec<T>>,
}

impl<T: Number> Host<'_, T> {
    /// The operation on a device of the host.
    pub(crate) fn evaluate(&self, device: &Device) -> Result<Option<f64>> {
        let Batch { case, .. } = self.batch;
        let mut out = self.out.borrow_mut();
        let failed = |error| Failure::run(format!("{case}: {error}"));
        let input = self.batch.input()?;
        if case.operation == Operation::Loss {
            let output = device.run(&CrossEntropy::new(), input).map_err(failed)?;
            return Ok(output.loss.reduced());
        }
        let out = T::matrix_mut(&mut out, case.shape.classes).map_err(failed)?;
        match case.operation {
            Operation::Softmax => device.run_into(&Softmax, self.batch.matrix()?, out),
            Operation::LogSoftmax => device.run_into(&LogSoftmax, self.batch.matrix()?, out),
            Operation::Loss | Operation::LossGradient => {
                let output = device
                    .run_into(&CrossEntropy::new().with_gradient(), input, out)
                    .map_err(failed)?;
                return Ok(output.loss.reduced());
            }
        }
        .map_err(failed)?;
        Ok(None)
    }

    /// Checks what a device of the host says.
    pub(crate) fn check(&self, device: &Device) -> Result<()> {
        let loss = self.evaluate(device)?;
        let out = self.out.borrow();
        let matrix = (self.batch.case.operation != Operation::Loss).then_some(&out[..]);
        self.batch.check(&device.info().kind.to_string(), &Answer { loss, matrix })
    }

    pub(crate) fn entrant<'b>(&'b self, who: Who, device: &'b Device) -> Entrant<'b> {
        Entrant::new(who, move |calls| {
            timed(calls, || {
                black_box(self.evaluate(device)?);
                Ok(())
            })
        })
    }

    /// What copying the matrix costs: in pieces that fit a cache; in one piece a thread, which C
    /// libraries write past the caches; and if it is small, by one thread. The best of these.
    pub(crate) fn copy(&self) -> Entrant<'_> {
        Entrant::new(Who::HostCopy, |calls| {
            let mut out = self.out.borrow_mut();
            let logits = &self.batch.logits;
            let share = logits.len().div_ceil(rayon::current_num_threads()).max(1);
            let in_blocks = |block: usize, out: &mut Vec<T>| {
                timed(calls, || {
                    let blocks = logits.par_chunks(block).zip(out.par_chunks_mut(block));
                    blocks.for_each(|(x, out)| out.copy_from_slice(x));
                    black_box(&out);
                    Ok(())
                })
            };
            let mut samples = vec![in_blocks(BLOCK, &mut out)?, in_blocks(share, &mut out)?];
            if logits.len() <= SMALL {
                samples.push(timed(calls, || {
                    out.copy_from_slice(black_box(logits));
                    black_box(&out);
                    Ok(())
                })?);
            }
            let wall = samples.iter().map(|sample| sample.wall).fold(f64::INFINITY, f64::min);
            Ok(Sample { wall, ..Sample::default() })
        })
    }

    /// What reading the matrix costs.
    pub(crate) fn read(&self) -> Entrant<'_> {
        Entrant::new(Who::HostRead, |calls| {
            let logits = &self.batch.logits[..];
            timed(calls, || {
                black_box(match black_box(logits) {
                    logits if logits.len() <= BLOCK => sum(logits),
                    logits => logits.par_chunks(BLOCK).map(sum).reduce(|| 0, u32::wrapping_add),
                });
                Ok(())
            })
        })
    }
}

fn sum<T: Number>(values: &[T]) -> u32 {
    // A slice of an odd number of 16-bit values ends in the middle of a word: that is left out.
    let (_, words, _) = bytemuck::pod_align_to::<T, u32>(values);
    let (chunks, rest) = words.as_chunks::<SUMS>();
    let mut sums = [0u32; SUMS];
    for chunk in chunks {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *sum = sum.wrapping_add(*x);
        }
    }
    sums.iter().chain(rest).fold(0, |sum, x| sum.wrapping_add(*x))
}

/// The time of one of some calls, by the wall clock.
fn timed(calls: u32, mut call: impl FnMut() -> Result<()>) -> Result<Sample> {
    let start = Instant::now();
    for _ in 0..calls {
        call()?;
    }
    let wall = start.elapsed().as_secs_f64() / f64::from(calls);
    Ok(Sample { wall, ..Sample::default() })
}
