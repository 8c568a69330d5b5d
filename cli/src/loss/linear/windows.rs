//! Linear layers that read more than there is memory for: windows of its rows.

use std::ops::Range;
use std::time::Instant;

use surprisal::{
    Array, DeviceKind, Dtype, LinearCrossEntropy, Loss, Matrix, Part, Reduction, Targets, Upstream,
};

use super::{Layer, over};
use crate::error::{Failure, Result};
use crate::files::{InputArray, Outputs, matrix};
use crate::loss::UpstreamData::{Each, Later, One};
use crate::loss::{Job, Outcome};
use crate::storage::{as_read, returned};
use crate::stream::{part_of, restore};

/// Bytes that a limit leaves to the rows of a window, and to the operation's scratch.
struct Room {
    rows: usize,
    scratch: u64,
}

/// Window by window; the layer and the targets are in memory.
pub(super) fn stream(
    mut job: Job<'_>,
    op: &LinearCrossEntropy,
    mut hidden: InputArray,
    layer: &Layer<'_>,
    targets: Targets<'_>,
) -> Result<()> {
    hidden.expect_floats()?;
    let (rows, width) = hidden.rows_and_columns();
    let room = room(&job, op, &hidden, layer)?;
    let op = &op.clone().with_scratch_bytes(room.scratch);
    let weight = matrix(layer.weight, &layer.weight_data)?;
    let bias = layer.bias_data.as_ref().map(Array::values);
    if let Later(file) = &mut job.upstream {
        // A number for each row, of rows of one number.
        let each = file.read_floats(&job.progress)?;
        job.upstream = Each(each);
    }
    let (mut outputs, mut clock) = (std::mem::take(&mut job.files), job.start.clock.clone());
    job.begin_windows(&mut outputs, &hidden)?;
    let stream = job.device.stream_linear(op, weight, bias, targets);
    let mut stream = stream.map_err(|error| job.blame(&error))?;
    job.progress.start("streaming", hidden.len() as u64 * hidden.dtype.size());
    let mut values = Array::F32(Vec::new());
    for first in (0..rows).step_by(room.rows) {
        let window = first..rows.min(first + room.rows);
        let started = Instant::now();
        hidden.read_window(window.start * width..window.end * width, &mut values)?;
        restore(&mut values, job.work.asked);
        clock.read += started.elapsed();
        let matrix = Matrix::new(values.values(), window.len(), width);
        let part = matrix.and_then(|matrix| stream.push(matrix, job.upstream_of(window.clone())));
        let part = part.map_err(|error| job.blame(&error))?;
        let started = Instant::now();
        job.append(&mut outputs, part)?;
        clock.write += started.elapsed();
        job.progress.advance((window.len() * width) as u64 * hidden.dtype.size());
    }
    let timings = stream.timings();
    let total = stream.finish().map_err(|error| job.blame(&error))?;
    (job.files, job.start.clock) = (outputs, clock);
    job.write_layer(layer, total.dweight, total.dbias)?;
    let (total, started) = (total.total, Instant::now());
    let loss = total.loss.map_or(Loss::Each(Array::F32(Vec::new())), Loss::Reduced);
    let outcome = Outcome {
        loss,
        lse: None,
        gradient: ("dhidden", None),
        metrics: total.metrics,
        kept_rows: total.kept_rows,
        total_weight: total.total_weight,
        over: over(total.kept_rows, rows, weight.rows()),
    };
    if total.loss.is_some() {
        job.write_loss(&outcome.loss)?;
    }
    job.conclude(&outcome, &timings, started)
}

/// What the limit leaves beside the layer, its gradient, and what belongs to all rows.
fn room(
    job: &Job<'_>,
    op: &LinearCrossEntropy,
    hidden: &InputArray,
    layer: &Layer<'_>,
) -> Result<Room> {
    let Some(limit) = &job.start.args.common.memory_limit else {
        return Ok(Room { rows: hidden.len().max(1), scratch: op.scratch_bytes() });
    };
    let kind = job.device.info().kind;
    let (rows, width) = hidden.rows_and_columns();
    let held = job.work.asked.map_or(as_read(hidden.dtype), Dtype::from).size() as u64;
    // In host memory as it was read and as it is computed; on a GPU once more. Of its gradient there are
    // the sum and a window's part.
    let own = layer.weight_data.dtype().size() as u64;
    let computed = if kind == DeviceKind::Reference { 8 } else { 4 };
    let copies = if kind == DeviceKind::Gpu { 2 } else { 1 };
    let gradient = if op.has_weight_gradient() { (1 + copies) * computed } else { 0 };
    let resident = layer.weight.len() as u64 * (own + copies * computed + gradient)
        + 16 * rows as u64
        + match &job.upstream {
            Each(data) => data.as_bytes().len() as u64,
            One(_) | Later(_) => 0,
        };
    // What is read, as it is stored, its gradient, and both as f32 in the operation; the reference has
    // all logits of a window, twice.
    let logits = if kind == DeviceKind::Reference { 24 * job.work.classes as u64 } else { 0 };
    let row = width as u64 * (hidden.dtype.size() + 2 * held + 4 * computed) + logits + 64;
    let rest = limit.bytes.saturating_sub(resident) / 2;
    if rest < row {
        return Err(Failure::input(format!(
            "{limit} does not hold the layer, {resident} bytes, and a row on its way, {} bytes",
            2 * row
        )));
    }
    let rows = usize::try_from(rest / row).unwrap_or(usize::MAX);
    Ok(Room { rows: rows.min(hidden.len().max(1)), scratch: rest })
}

impl Job<'_> {
    /// Writes what comes before the elements of what is written window by window.
    fn begin_windows(&self, outputs: &mut Outputs, hidden: &InputArray) -> Result<()> {
        let is_reference = self.device.info().kind == DeviceKind::Reference;
        let result = if is_reference { Dtype::F64 } else { Dtype::F32 };
        let of_hidden = if is_reference { Dtype::F64 } else { as_read(hidden.dtype) };
        outputs.begin("--grad", "dhidden", of_hidden, &self.shape)?;
        outputs.begin("--lse", "lse", result, &self.each)?;
        if Reduction::from(self.start.args.reduction) == Reduction::None {
            outputs.begin("--out", "loss", result, &self.each)?;
        }
        Ok(())
    }

    fn upstream_of(&self, rows: Range<usize>) -> Upstream<'_> {
        match &self.upstream {
            One(number) => Upstream::Scalar(*number),
            Each(data) => Upstream::Each(part_of(data, rows)),
            Later(_) => Upstream::default(),
        }
    }

    /// Writes what a window came to.
    fn append(&self, outputs: &mut Outputs, part: Part) -> Result<()> {
        let (like, asked) = (self.work.moved[0].0, self.work.asked);
        let dhidden = part.matrix.map(|array| returned(array, like, asked, &self.device));
        for (option, array) in [("--grad", dhidden), ("--lse", part.lse), ("--out", part.each)] {
            if let Some(array) = array {
                outputs.append(option, &array)?;
            }
        }
        Ok(())
    }
}
