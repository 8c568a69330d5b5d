//! Linear layers that do not fit: for each window of rows, the layer is read in blocks of its classes,
//! once for the loss and once more for gradients; a block is read while the one before is computed.

mod room;

use std::ops::Range;
use std::time::{Duration, Instant};

use surprisal::stream::{ClassStream, ClassWindow, LayerPart, Stages, overlap};
use surprisal::{Array, BatchTargets, Dtype, LinearCrossEntropy, Loss, Matrix};

pub(super) use self::room::{Needs, Room};
use super::over;
use super::sums::Sums;
use crate::error::Result;
use crate::files::{FileDtype, InputArray, Outputs};
use crate::loss::{Job, Outcome};
use crate::report::Clock;
use crate::storage::{as_read, rounded};
use crate::stream::{part_of, restore};

/// The layer's files; the bias and its gradient are in memory.
pub(super) struct Files<'a> {
    pub(super) hidden: InputArray,
    pub(super) weight: InputArray,
    pub(super) bias: Option<(&'a InputArray, Array)>,
}

pub(super) fn stream(
    mut job: Job<'_>,
    op: &LinearCrossEntropy,
    files: Files<'_>,
    (targets, room): (BatchTargets<'_>, Room),
) -> Result<()> {
    let Files { mut hidden, weight, bias } = files;
    // Once for each window and pass.
    let weight = weight.rereadable()?;
    let ((rows, width), classes) = (hidden.rows_and_columns(), job.work.classes);
    let op = &op.clone().with_scratch_bytes(room.scratch);
    let (mut outputs, mut clock) = (std::mem::take(&mut job.files), job.start.clock.clone());
    job.begin_windows(&mut outputs, &hidden)?;
    outputs.begin("--grad-weight", "dweight", as_read(weight.dtype), &weight.shape)?;
    let windows = rows.div_ceil(room.rows).max(1);
    let beside = outputs.path("--grad-weight").zip(outputs.folder("--grad-weight"));
    let beside = beside.filter(|_| windows > 1);
    let mut layer = Layer {
        gradients: Gradients {
            sums: beside.map(|(of, folder)| Sums::of(of, &folder)).transpose()?,
            dbias: bias.as_ref().map(|_| vec![0.0; classes]),
            like: weight.dtype,
            width,
        },
        bias,
        weight,
        width,
        block: room.classes,
    };
    let mut stream =
        job.device.stream_classes(op, classes, targets).map_err(|error| job.blame(&error))?;
    let bytes = |file: &InputArray| file.len() as u64 * file.dtype.size();
    let passes = 1 + usize::from(op.has_gradient());
    let of_layer = (windows * passes) as u64 * bytes(&layer.weight);
    job.progress.start("streaming", bytes(&hidden) + of_layer);
    for window in 0..windows {
        let range = window * room.rows..rows.min((window + 1) * room.rows);
        let started = Instant::now();
        let mut values = Array::F32(Vec::new());
        hidden.read_window(range.start * width..range.end * width, &mut values)?;
        restore(&mut values, job.work.asked);
        clock.read += started.elapsed();
        job.progress.advance((range.len() * width) as u64 * hidden.dtype.size());
        let mut of_rows = begin(&job, &mut stream, &values, range, width)?;
        drop(values);
        let is_last = window + 1 == windows;
        layer.pass(&job, &mut of_rows, &mut clock, (&mut outputs, is_last))?;
        let part = of_rows.finish().map_err(|error| job.blame(&error))?;
        let started = Instant::now();
        job.append(&mut outputs, part)?;
        clock.write += started.elapsed();
    }
    let timings = stream.timings();
    let total = stream.finish().map_err(|error| job.blame(&error))?;
    (job.files, job.start.clock) = (outputs, clock);
    let started = Instant::now();
    let dbias = layer.gradients.dbias.filter(|_| op.has_bias_gradient());
    if let (Some((file, _)), Some(dbias)) = (&layer.bias, dbias) {
        let dbias = as_written(&job, dbias, file.dtype);
        job.files.write("--grad-bias", "dbias", &dbias, &file.shape, &job.progress)?;
    }
    let loss = total.loss.map_or(Loss::Each(Array::F32(Vec::new())), Loss::Reduced);
    if total.loss.is_some() {
        job.write_loss(&loss)?;
    }
    let outcome = Outcome {
        loss,
        lse: None,
        gradient: ("dhidden", None),
        metrics: total.metrics,
        kept_rows: total.kept_rows,
        total_weight: total.total_weight,
        over: over(total.kept_rows, rows, classes),
    };
    job.conclude(&outcome, &timings, started)
}

fn begin<'s, 'a>(
    job: &Job<'_>,
    stream: &'s mut ClassStream<'a>,
    values: &Array,
    rows: Range<usize>,
    width: usize,
) -> Result<ClassWindow<'s, 'a>> {
    Matrix::new(values.values(), rows.len(), width)
        .and_then(|hidden| stream.window(hidden, job.upstream_of(rows)))
        .map_err(|error| job.blame(&error))
}

/// A layer that is read in blocks.
struct Layer<'a> {
    weight: InputArray,
    width: usize,
    /// Classes of a block.
    block: usize,
    bias: Option<(&'a InputArray, Array)>,
    gradients: Gradients,
}

/// The gradients of a layer, as far as windows of rows have added to them.
struct Gradients {
    /// Of the weights, if there is more than one window.
    sums: Option<Sums>,
    dbias: Option<Vec<f32>>,
    /// What the weights' file holds.
    like: FileDtype,
    width: usize,
}

impl Layer<'_> {
    /// Reads the layer as often as a window of rows has to see it; its gradient, where there is one,
    /// goes to the outputs with the last window.
    fn pass(
        &mut self,
        job: &Job<'_>,
        rows: &mut ClassWindow<'_, '_>,
        clock: &mut Clock,
        (outputs, is_last): (&mut Outputs, bool),
    ) -> Result<()> {
        let Self { weight, width, block, bias, gradients } = self;
        let (classes, width, block) = (job.work.classes, *width, *block);
        let (blocks, passes) = (classes.div_ceil(block), rows.passes());
        let of_step = |step: Range<usize>| {
            let first = step.start % blocks * block;
            first..classes.min(first + block)
        };
        let (progress, asked, mut writing) =
            (job.progress.handle(), job.work.asked, Duration::ZERO);
        let stages = Stages {
            read: |step: Range<usize>, values: &mut Array| {
                let block = of_step(step);
                let elements = block.start * width..block.end * width;
                progress.advance(elements.len() as u64 * weight.dtype.size());
                weight.read_window(elements, values)?;
                restore(values, asked);
                Ok(())
            },
            compute: |step: Range<usize>, values: &mut Array| {
                let (is_seen, block) = (step.start >= blocks, of_step(step));
                let bias = bias.as_ref().map(|(_, bias)| part_of(bias, block.clone()));
                let part = Matrix::new(values.values(), block.len(), width)
                    .and_then(|weight| rows.push(weight, bias))
                    .map_err(|error| job.blame(&error))?;
                if is_seen {
                    let started = Instant::now();
                    gradients.take(job, part, block, (&mut *outputs, is_last))?;
                    writing += started.elapsed();
                }
                Ok(())
            },
            collect: |_: Range<usize>, _: &mut Array| Ok(()),
            write: |_: Range<usize>, _: &mut Array| Ok(()),
        };
        let ring = vec![Array::F32(Vec::new()); room::BLOCKS];
        clock.read += overlap(passes * blocks, 1, ring, stages)?.read;
        clock.write += writing;
        Ok(())
    }
}

impl Gradients {
    /// Takes those of a block: sums them up, and writes what is whole.
    fn take(
        &mut self,
        job: &Job<'_>,
        part: LayerPart,
        classes: Range<usize>,
        (outputs, is_last): (&mut Outputs, bool),
    ) -> Result<()> {
        if let (Some(sums), Some(part)) = (&mut self.dbias, part.dbias) {
            for (sum, x) in sums[classes.clone()].iter_mut().zip(part.values().to_f32()) {
                *sum += x;
            }
        }
        let Some(Array::F32(mut dweight)) = part.dweight else { return Ok(()) };
        if let Some(sums) = &mut self.sums {
            sums.add(classes.start * self.width, &mut dweight, is_last)?;
        }
        if is_last {
            outputs.append("--grad-weight", &as_written(job, dweight, self.like))?;
        }
        Ok(())
    }
}

/// A gradient in the dtype of the file that it is of, by way of that which `--dtype` has it stored in.
fn as_written(job: &Job<'_>, sum: Vec<f32>, like: FileDtype) -> Array {
    let read = as_read(like);
    let stored = job.work.asked.map_or(read, Dtype::from);
    rounded(rounded(Array::F32(sum), stored), read)
}
