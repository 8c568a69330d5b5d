//! Linear layers that read more than there is memory for: windows of its rows.

use std::ops::Range;
use std::time::Instant;

use surprisal::stream::Part;
use surprisal::{
    Array, BatchTargets, DeviceKind, Dtype, LinearCrossEntropy, Loss, Matrix, Reduction, Upstream,
};

use super::{Layer, over};
use crate::error::Result;
use crate::files::{InputArray, Outputs, matrix};
use crate::loss::UpstreamData::{Each, Later, One};
use crate::loss::{Job, Outcome};
use crate::storage::{as_read, returned};
use crate::stream::{part_of, restore};

/// Rows whose logits are to be there together, if the layer is in memory at all: products of fewer leave
/// a device idle. Half as many took longer than blocks of classes do, on the CPU and on lavapipe.
const ENOUGH: u64 = 128;

/// Bytes that a limit leaves to the rows of a window, and to the operation's scratch.
pub(super) struct Room {
    rows: usize,
    scratch: u64,
    /// Rows whose logits are there at a time.
    together: u64,
}

impl Room {
    /// Whether that is enough of so many rows, where blocks of classes would take `in_blocks` at a time.
    pub(super) fn suffices(&self, rows: usize, in_blocks: usize) -> bool {
        self.together >= ENOUGH.min(rows as u64).min(in_blocks as u64)
    }
}

/// Window by window; the layer is in memory, and so are class indices.
pub(super) fn stream(
    mut job: Job<'_>,
    op: &LinearCrossEntropy,
    (mut hidden, mut probs): (InputArray, Option<InputArray>),
    layer: &Layer<'_>,
    (targets, room): (BatchTargets<'_>, Room),
) -> Result<()> {
    let (rows, width) = hidden.rows_and_columns();
    let op = &op.clone().with_scratch_bytes(room.scratch);
    let weight = matrix(layer.weight, &layer.weight_data)?;
    let bias = layer.bias_data.as_ref().map(Array::values);
    let (mut outputs, mut clock) = (std::mem::take(&mut job.files), job.start.clock.clone());
    job.begin_windows(&mut outputs, &hidden)?;
    let stream = job.device.stream_linear(op, weight, bias, targets);
    let mut stream = stream.map_err(|error| job.blame(&error))?;
    let bytes = |file: &InputArray| file.len() as u64 * file.dtype.size();
    job.progress.start("streaming", bytes(&hidden) + probs.as_ref().map_or(0, bytes));
    let (mut values, mut of_probs) = (Array::F32(Vec::new()), Array::F32(Vec::new()));
    for first in (0..rows).step_by(room.rows) {
        let window = first..rows.min(first + room.rows);
        let started = Instant::now();
        let read = |file: &mut InputArray, columns: usize, values: &mut Array| {
            file.read_window(window.start * columns..window.end * columns, values)?;
            restore(values, job.work.asked);
            job.progress.advance((window.len() * columns) as u64 * file.dtype.size());
            Result::Ok(())
        };
        read(&mut hidden, width, &mut values)?;
        probs.as_mut().map_or(Ok(()), |file| read(file, weight.rows(), &mut of_probs))?;
        clock.read += started.elapsed();
        let upstream = job.upstream_of(window.clone());
        let matrix = |values, columns| Matrix::new(Array::values(values), window.len(), columns);
        let part = matrix(&values, width).and_then(|hidden| match probs {
            Some(_) => stream.push_with_probs(hidden, matrix(&of_probs, weight.rows())?, upstream),
            None => stream.push(hidden, upstream),
        });
        let part = part.map_err(|error| job.blame(&error))?;
        let started = Instant::now();
        job.append(&mut outputs, part)?;
        clock.write += started.elapsed();
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

/// What is read: rows and the layer.
#[derive(Clone, Copy)]
pub(super) struct Files<'f> {
    pub(super) hidden: &'f InputArray,
    pub(super) weight: &'f InputArray,
    /// Targets that are probabilities.
    pub(super) probs: Option<&'f InputArray>,
}

/// A batch, and the bytes that it takes with the layer in memory.
pub(super) struct Needs {
    rows: usize,
    /// The layer, its gradient, and what belongs to all rows.
    resident: u64,
    /// Of a row on its way.
    row: u64,
    /// Of a row in the operation's own scratch: its logits, and what a chunk of rows needs beside.
    scratch: u64,
    /// Whether logits are stored there, of as many rows as it holds.
    has_logits: bool,
}

impl Needs {
    pub(super) fn new(
        job: &Job<'_>,
        op: &LinearCrossEntropy,
        kind: DeviceKind,
        Files { hidden, weight, probs }: Files<'_>,
    ) -> Self {
        let (rows, width) = hidden.rows_and_columns();
        let held_as = |file: &InputArray| {
            job.work.asked.map_or(as_read(file.dtype), Dtype::from).size() as u64
        };
        let (held, own) = (held_as(hidden), held_as(weight));
        let gradient = |bytes: u64| if op.has_weight_gradient() { bytes } else { 0 };
        // In host memory as it was read and, if that is of 16 bits, as it is computed with; or on the
        // device too. Of its gradient there are the sum and a window's part, or that on the device and
        // what is returned.
        let element = match kind {
            DeviceKind::Reference => own + 8 + gradient(16),
            DeviceKind::Cpu if own != 2 => own + gradient(8),
            _ => own + 4 + gradient(4 + own.max(4)),
        };
        let resident = weight.len() as u64 * element
            + job.resident(rows)
            + hidden.scratch()
            + weight.scratch()
            + probs.map_or(0, InputArray::scratch);
        // What is read, as it is stored, its gradient, and both as f32 in the operation; the reference has
        // all logits of a window, twice.
        let (computed, logits) = match kind {
            DeviceKind::Reference => (8, 24 * job.work.classes as u64),
            _ => (4, 0),
        };
        // Probabilities as they are read, as they are stored, and on their way to a device; where a mask
        // leaves rows out, without these too.
        let classes = job.work.classes as u64;
        let is_masked = job.start.args.mask.is_some();
        let copies = 1 + u64::from(is_masked && kind != DeviceKind::Cpu);
        let of_probs = |file: &InputArray| {
            classes * (file.dtype.size() + copies * held_as(file) + 2 * computed)
        };
        let row = width as u64 * (hidden.dtype.size() + 2 * held + 4 * computed)
            + logits
            + probs.map_or(0, of_probs)
            + 64;
        let gathered = probs.filter(|_| is_masked).map_or(0, |file| classes * held_as(file));
        let scratch = match kind {
            DeviceKind::Reference => 0,
            DeviceKind::Cpu => 4 * (classes + 2 * width as u64) + gathered,
            _ => 4 * (classes + 2 * width as u64),
        };
        // The loss alone of class indices stores no logits on a GPU.
        let has_logits = match kind {
            DeviceKind::Gpu => op.has_gradient() || probs.is_some(),
            kind => kind == DeviceKind::Cpu,
        };
        Self { rows, resident, row, scratch, has_logits }
    }

    /// The least limit: a row.
    pub(super) fn least(&self) -> u64 {
        self.resident + 2 * self.row.max(self.scratch)
    }

    /// What a limit leaves; none if that is not enough for a row.
    pub(super) fn room(&self, limit: u64) -> Option<Room> {
        if limit < self.least() {
            return None;
        }
        let rest = (limit - self.resident) / 2;
        let rows = usize::try_from(rest / self.row).unwrap_or(usize::MAX).min(self.rows.max(1));
        let logits = if self.has_logits { rest / self.scratch } else { u64::MAX };
        Some(Room { rows, scratch: rest, together: logits.min(rows as u64) })
    }
}

impl Job<'_> {
    /// Writes what comes before the elements of what is written window by window.
    pub(super) fn begin_windows(&self, outputs: &mut Outputs, hidden: &InputArray) -> Result<()> {
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

    pub(super) fn upstream_of(&self, rows: Range<usize>) -> Upstream<'_> {
        match &self.upstream {
            One(number) => Upstream::Scalar(*number),
            Each(data) => Upstream::Each(part_of(data, rows)),
            Later(_) => Upstream::default(),
        }
    }

    /// Writes what a window came to.
    pub(super) fn append(&self, outputs: &mut Outputs, part: Part) -> Result<()> {
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
