//! `surprisal linear-cross-entropy`.

mod blocks;
mod sums;
mod windows;

use std::time::Instant;

use surprisal::{
    Array, BatchTargets, CrossEntropy, DeviceKind, LinearCrossEntropy, LinearCrossEntropyInput,
    LinearCrossEntropyOutput,
};

use super::cross_entropy::{loss_shape, over, target_values, weighted};
use super::{Job, Losses, Outcome, Start, open_vector};
use crate::args::{LinearCrossEntropyArgs, MemoryLimit};
use crate::error::{Failure, Result};
use crate::files::{InputArray, matrix};
use crate::loss::UpstreamData::{Each, Later, One};
use crate::shapes::disagree;
use crate::storage::returned;

pub(crate) fn run(args: &LinearCrossEntropyArgs) -> Result<()> {
    let weights = args.options.weights_file();
    let inputs = [
        ("hidden", Some(&args.hidden)),
        ("weight", Some(&args.weight)),
        ("targets", Some(&args.targets)),
        ("bias", args.bias.as_ref()),
        ("class_weights", weights),
    ];
    let outputs = [("--grad-weight", &args.grad_weight), ("--grad-bias", &args.grad_bias)];
    let start = Start::with_outputs(&args.loss, inputs, &outputs)?;
    let mut hidden = InputArray::open(&args.hidden)?;
    let mut weight = InputArray::open(&args.weight)?;
    let mut targets = InputArray::open(&args.targets)?;
    let (rows, _) = hidden.rows_and_classes()?;
    let classes = classes_of(&weight, &hidden)?;
    let each = loss_shape(&hidden, &targets, classes)?;
    let class_weights = open_vector(weights, &weight, (classes, "class"))?;
    let mut bias = open_vector(args.bias.as_ref(), &weight, (classes, "class"))?;
    start.check_dtype("--grad-weight", weight.dtype)?;
    bias.as_ref().map_or(Ok(()), |bias| start.check_dtype("--grad-bias", bias.dtype))?;
    let are_probs = targets.dtype.is_float();
    let others = [Some(&weight), bias.as_ref(), are_probs.then_some(&targets)];
    let others: Vec<_> = others.into_iter().flatten().collect();
    let mut job = start.open(&hidden, &others, &Losses::OfRows(each))?;
    job.work.classes = classes;

    let class_weights = job.read_optional(class_weights)?;
    // Probabilities of a batch that comes in windows come with these.
    let in_windows = are_probs && job.streams();
    let mask = job.read_mask()?;
    let mask = mask.as_deref();
    let target_data = if in_windows { None } else { Some(job.read_targets(&mut targets, mask)?) };
    let mut target_values = match &target_data {
        Some(data) => target_values(data, &targets)?.into(),
        None => BatchTargets::probs_in_windows(rows),
    };
    target_values.mask = mask;
    let mut loss = args.options.op(&args.loss);
    if let Some(class_weights) = &class_weights {
        loss = loss.with_class_weights(class_weights.to_f64());
    }
    if args.options.weighs_by_frequency() {
        loss = weighted(&job, loss, target_values, classes)?;
    }
    let bias_data = bias.as_mut().map(|bias| job.read_matrix(bias)).transpose()?;
    let op = op(args, loss);
    let mut room = None;
    if let Some(limit) = job.limit().cloned() {
        hidden.expect_floats()?;
        weight.expect_floats()?;
        job.read_upstream()?;
        let probs = in_windows.then_some(&targets);
        let files = windows::Files { hidden: &hidden, weight: &weight, probs };
        match way(&job, (&op, &limit), files)? {
            Way::Windows(of_rows) => room = Some(of_rows),
            Way::Blocks(room) => {
                let bias = bias.as_ref().zip(bias_data);
                let files = blocks::Files { hidden, weight, bias };
                return blocks::stream(job, &op, files, (target_values, room));
            }
        }
    }
    let weight_data = job.read_matrix(&mut weight)?;
    let layer = Layer { weight: &weight, weight_data, bias: bias.as_ref(), bias_data };
    if let Some(room) = room {
        let files = (hidden, in_windows.then_some(targets));
        return windows::stream(job, &op, files, &layer, (target_values, room));
    }
    let hidden_data = job.read_matrix(&mut hidden)?;
    let of_hidden = matrix(&hidden, &hidden_data)?;
    let of_weight = matrix(&weight, &layer.weight_data)?;
    let mut input = LinearCrossEntropyInput::new(of_hidden, of_weight, target_values.targets)
        .with_bias(layer.bias_data.as_ref().map(Array::values))
        .with_upstream(job.upstream());
    input.mask = target_values.mask;
    let (mut output, timings) = job.compute(&op, input)?;
    job.write_layer(&layer, output.dweight.take(), output.dbias.take())?;
    job.finish(outcome(output, rows, classes), &timings)
}

/// How a batch goes through a layer within a limit.
enum Way {
    /// In windows of rows, with the layer in memory.
    Windows(windows::Room),
    /// With the layer in blocks of classes.
    Blocks(blocks::Room),
}

/// The layer is in memory where that leaves room for enough rows beside it. The reference does without
/// blocks, and so do probabilities, of which a block would need its columns.
fn way(
    job: &Job<'_>,
    (op, limit): (&LinearCrossEntropy, &MemoryLimit),
    files: windows::Files<'_>,
) -> Result<Way> {
    let has_blocks = |kind| kind != DeviceKind::Reference && files.probs.is_none();
    let whole = |kind| windows::Needs::new(job, op, kind, files);
    let blocks = |kind| {
        has_blocks(kind).then(|| blocks::Needs::new(job, op, kind, (files.hidden, files.weight)))
    };
    let least = |kind| {
        let whole = whole(kind).least();
        blocks(kind).map_or(whole, |blocks| whole.min(blocks.least()))
    };
    let (kind, rows) = (job.device.info().kind, files.hidden.rows_and_columns().0);
    let in_blocks = blocks(kind).and_then(|blocks| blocks.room(limit.bytes));
    match (whole(kind).room(limit.bytes), in_blocks) {
        (Some(whole), Some(blocks)) if !whole.suffices(rows, blocks.rows) => {
            Ok(Way::Blocks(blocks))
        }
        (Some(whole), _) => Ok(Way::Windows(whole)),
        (None, Some(blocks)) => Ok(Way::Blocks(blocks)),
        (None, None) => {
            let layer = if has_blocks(kind) { "the layer, or a class of it," } else { "the layer" };
            let failure = Failure::input(format!(
                "{limit} does not hold {layer} and a row on its way: {} bytes are the least",
                least(kind)
            ));
            let is_of_device = kind == DeviceKind::Gpu && limit.bytes >= least(DeviceKind::Cpu);
            Err(Failure { is_of_device, ..failure })
        }
    }
}

/// The layer's files, and what was read of them.
struct Layer<'a> {
    weight: &'a InputArray,
    weight_data: Array,
    bias: Option<&'a InputArray>,
    bias_data: Option<Array>,
}

fn op(args: &LinearCrossEntropyArgs, loss: CrossEntropy) -> LinearCrossEntropy {
    let mut op = LinearCrossEntropy::new(loss);
    if args.loss.grad.is_some() {
        op = op.with_hidden_gradient();
    }
    if args.grad_weight.is_some() {
        op = op.with_weight_gradient();
    }
    if args.grad_bias.is_some() {
        op = op.with_bias_gradient();
    }
    op
}

/// How many classes the layer has, which has to be as wide as its input.
fn classes_of(weight: &InputArray, hidden: &InputArray) -> Result<usize> {
    let (classes, width) = weight.rows_and_classes()?;
    let (_, wanted) = hidden.rows_and_classes()?;
    if weight.shape.len() == 2 && width == wanted && classes > 0 {
        return Ok(classes);
    }
    Err(disagree(weight, hidden, &format!("[classes, {wanted}]")))
}

fn outcome(output: LinearCrossEntropyOutput, rows: usize, classes: usize) -> Outcome {
    let kept = output.kept_rows;
    Outcome {
        loss: output.loss,
        lse: Some(output.lse),
        gradient: ("dhidden", output.dhidden),
        metrics: output.metrics,
        kept_rows: kept,
        total_weight: output.total_weight,
        over: over(kept, rows, classes),
    }
}

impl Job<'_> {
    /// Reads the upstream gradient, if that was left for later: a number for each row, of rows of one
    /// number.
    fn read_upstream(&mut self) -> Result<()> {
        if let Later(file) = &mut self.upstream {
            let each = file.read_floats(&self.progress)?;
            self.upstream = Each(each);
        }
        Ok(())
    }

    /// Bytes of what belongs to each of all rows: class indices, which are there twice where some are ignored,
    /// or the list of the rows that count, the mask and the upstream gradient.
    fn resident(&self, rows: usize) -> u64 {
        let upstream = match &self.upstream {
            Each(data) => data.as_bytes().len() as u64,
            One(_) | Later(_) => 0,
        };
        let of_row = if self.start.args.mask.is_some() { 17 } else { 16 };
        of_row * rows as u64 + upstream
    }

    /// Writes the gradients of the layer, if they were asked for.
    fn write_layer(
        &mut self,
        layer: &Layer<'_>,
        dweight: Option<Array>,
        dbias: Option<Array>,
    ) -> Result<()> {
        self.write_beside("--grad-weight", "dweight", dweight, layer.weight)?;
        layer.bias.map_or(Ok(()), |bias| self.write_beside("--grad-bias", "dbias", dbias, bias))
    }

    /// Writes the gradient of a file, if it was asked for.
    fn write_beside(
        &mut self,
        option: &str,
        tensor: &str,
        gradient: Option<Array>,
        like: &InputArray,
    ) -> Result<()> {
        let Some(gradient) = gradient else { return Ok(()) };
        let started = Instant::now();
        let gradient = returned(gradient, like.dtype, self.work.asked, &self.device);
        self.files.write(option, tensor, &gradient, &like.shape, &self.progress)?;
        self.start.clock.write += started.elapsed();
        Ok(())
    }
}
