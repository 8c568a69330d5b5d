//! Linear layers that do not fit: for each window of rows, the layer is read in blocks of its classes,
//! once for the loss and once more for gradients.

use std::ops::Range;
use std::time::Instant;

use surprisal::{
    Array, ClassStream, ClassWindow, DeviceKind, Dtype, LayerPart, LinearCrossEntropy, Loss,
    Matrix, Targets,
};

use super::over;
use super::sums::Sums;
use crate::args::MemoryLimit;
use crate::error::{Failure, Result};
use crate::files::{InputArray, Outputs};
use crate::loss::{Job, Outcome};
use crate::report::Clock;
use crate::storage::{as_read, rounded};
use crate::stream::{part_of, restore};

/// Classes whose logits are there at a time, unless the limit leaves room for fewer.
const LOGITS: u64 = 256;
/// Bytes that a GPU takes at most for what tiles of few rows leave.
const TILES: u64 = 2 << 20;

/// The layer's files; the bias and its gradient are in memory.
pub(super) struct Files<'a> {
    pub(super) hidden: InputArray,
    pub(super) weight: InputArray,
    pub(super) bias: Option<(&'a InputArray, Array)>,
}

/// What a limit leaves to rows and classes.
pub(super) struct Room {
    rows: usize,
    classes: usize,
    scratch: u64,
}

pub(super) fn stream(
    mut job: Job<'_>,
    op: &LinearCrossEntropy,
    files: Files<'_>,
    (targets, room): (Targets<'_>, Room),
) -> Result<()> {
    let Files { mut hidden, weight, bias } = files;
    let ((rows, width), classes) = (hidden.rows_and_columns(), job.work.classes);
    let op = &op.clone().with_scratch_bytes(room.scratch);
    let (mut outputs, mut clock) = (std::mem::take(&mut job.files), job.start.clock.clone());
    job.begin_windows(&mut outputs, &hidden)?;
    outputs.begin("--grad-weight", "dweight", as_read(weight.dtype), &weight.shape)?;
    let windows = rows.div_ceil(room.rows).max(1);
    let beside = outputs.path("--grad-weight").filter(|_| windows > 1);
    let mut layer = Layer {
        sums: beside.map(Sums::beside).transpose()?,
        dbias: bias.as_ref().map(|_| vec![0.0; classes]),
        values: Array::F32(Vec::new()),
        bias,
        weight,
        width,
        room: room.classes,
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
        for pass in 0..of_rows.passes() {
            let is_last = window + 1 == windows;
            let gradient = (pass > 0).then_some(&mut outputs);
            layer.pass(&job, &mut of_rows, &mut clock, (gradient, is_last))?;
        }
        let part = of_rows.finish().map_err(|error| job.blame(&error))?;
        let started = Instant::now();
        job.append(&mut outputs, part)?;
        clock.write += started.elapsed();
    }
    let timings = stream.timings();
    let total = stream.finish().map_err(|error| job.blame(&error))?;
    (job.files, job.start.clock) = (outputs, clock);
    let started = Instant::now();
    if let (Some((file, _)), Some(dbias), true) = (&layer.bias, layer.dbias, op.has_bias_gradient())
    {
        let dbias = as_written(&job, dbias, file);
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
    room: usize,
    values: Array,
    bias: Option<(&'a InputArray, Array)>,
    /// What windows of rows have added to the gradient of the weights, if there is more than one.
    sums: Option<Sums>,
    dbias: Option<Vec<f32>>,
}

impl Layer<'_> {
    /// Reads the layer once; its gradient, where there is one, goes to the outputs with the last window
    /// of rows.
    fn pass(
        &mut self,
        job: &Job<'_>,
        rows: &mut ClassWindow<'_, '_>,
        clock: &mut Clock,
        (mut outputs, is_last): (Option<&mut Outputs>, bool),
    ) -> Result<()> {
        let classes = job.work.classes;
        for first in (0..classes).step_by(self.room) {
            let block = first..classes.min(first + self.room);
            let elements = block.start * self.width..block.end * self.width;
            let started = Instant::now();
            self.weight.read_window(elements.clone(), &mut self.values)?;
            restore(&mut self.values, job.work.asked);
            clock.read += started.elapsed();
            let bias = self.bias.as_ref().map(|(_, bias)| part_of(bias, block.clone()));
            let part = Matrix::new(self.values.values(), block.len(), self.width)
                .and_then(|weight| rows.push(weight, bias))
                .map_err(|error| job.blame(&error))?;
            job.progress.advance(elements.len() as u64 * self.weight.dtype.size());
            if let Some(outputs) = &mut outputs {
                let started = Instant::now();
                self.take(job, part, block, (outputs, is_last))?;
                clock.write += started.elapsed();
            }
        }
        Ok(())
    }

    /// Takes a block's gradients: sums them up, and writes what is whole.
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
            outputs.append("--grad-weight", &as_written(job, dweight, &self.weight))?;
        }
        Ok(())
    }
}

/// A gradient in the dtype of the file that it is of, by way of that which `--dtype` has it stored in.
fn as_written(job: &Job<'_>, sum: Vec<f32>, like: &InputArray) -> Array {
    let read = as_read(like.dtype);
    let stored = job.work.asked.map_or(read, Dtype::from);
    rounded(rounded(Array::F32(sum), stored), read)
}

/// Rows and classes that fit the limit together: at first each half of it.
pub(super) fn room(
    job: &Job<'_>,
    (op, limit): (&LinearCrossEntropy, &MemoryLimit),
    hidden: &InputArray,
    weight: &InputArray,
) -> Result<Room> {
    let ((rows, width), classes) = (hidden.rows_and_columns(), job.work.classes);
    let is_gpu = job.device.info().kind == DeviceKind::Gpu;
    let (width, on_gpu) = (width as u64, u64::from(is_gpu));
    let size = |file: &InputArray| {
        let asked = job.work.asked.map_or(0, |asked| Dtype::from(asked).size() as u64);
        file.dtype.size() + asked
    };
    // Read and stored, computed with and its gradient in f32, the gradient returned; on a GPU the two on
    // the device, and staged. Results of a row are a few numbers.
    let row = width * (2 * size(hidden) + 8 + 16 * on_gpu) + 192 + 64 * on_gpu;
    // Read and stored, widened, its gradient, the sum that it is added to, and that as it is written; on
    // a GPU with its gradient on the device, and both staged, which a block before may still be too.
    let gradient = if op.has_weight_gradient() { 8 + weight.dtype.size() + 16 * on_gpu } else { 0 };
    let class = width * (size(weight) + 4 + 16 * on_gpu + gradient) + 32;
    // Bias, its gradient and the weights of classes are there as a whole, like what belongs to each row
    // of the batch.
    let resident = job.resident(rows) + 40 * classes as u64 + TILES * on_gpu;
    let room = limit.bytes.saturating_sub(resident);
    let logits = |classes: u64| 4 * classes.min(LOGITS);
    let needed = class + row + logits(1);
    if room < needed {
        return Err(Failure::input(format!(
            "{limit} does not hold a class of the layer and a row on their way, {needed} bytes, \
             beside {resident} for the batch"
        )));
    }
    let mut block = (room / 2 / class).clamp(1, classes as u64);
    while block > 1 && room - block * class < row + logits(block) {
        block /= 2;
    }
    let of_row = row + logits(block);
    let fitting = ((room - block * class) / of_row).clamp(1, rows.max(1) as u64);
    let scratch = fitting * logits(block) + 4 * width * block.min(LOGITS);
    let block = ((room - fitting * of_row) / class).clamp(block, classes as u64);
    let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    Ok(Room { rows: count(fitting), classes: count(block), scratch })
}
