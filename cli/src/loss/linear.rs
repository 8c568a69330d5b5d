//! `surprisal linear-cross-entropy`.

use std::time::Instant;

use surprisal::{
    Array, DeviceKind, Dtype, LinearCrossEntropy, LinearCrossEntropyInput, LinearCrossEntropyOutput,
};

use super::cross_entropy::{index_shape, over, target_values, weighted};
use super::{Job, Outcome, Start, open_vector};
use crate::args::LinearCrossEntropyArgs;
use crate::error::{Failure, Result};
use crate::files::{InputArray, matrix};
use crate::storage::{as_read, returned};

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
    let each = index_shape(&hidden, &targets)?;
    let (rows, _) = hidden.rows_and_classes()?;
    let classes = classes_of(&weight, &hidden)?;
    let class_weights = open_vector(weights, classes, "classes")?;
    let mut bias = open_vector(args.bias.as_ref(), classes, "classes")?;
    let others: Vec<_> = [Some(&weight), bias.as_ref()].into_iter().flatten().collect();
    let mut job = start.open(&hidden, &others, &each)?;
    job.work.classes = classes;
    job.check_dtypes(&weight, bias.as_ref())?;

    let class_weights = job.read_optional(class_weights)?;
    let target_data = job.read(&mut targets)?;
    let target_values = target_values(&target_data, &targets)?;
    let mut loss = args.options.op(&args.loss);
    if let Some(class_weights) = &class_weights {
        loss = loss.with_class_weights(class_weights.to_f64());
    }
    if args.options.weighs_by_frequency() {
        loss = weighted(&job, loss, target_values, classes)?;
    }
    let held = [(&hidden, args.loss.grad.is_some()), (&weight, args.grad_weight.is_some())];
    let scratch = job.scratch(held, targets.len())?;
    let hidden_data = job.read_matrix(&mut hidden)?;
    let weight_data = job.read_matrix(&mut weight)?;
    let bias_data = bias.as_mut().map(|bias| job.read_matrix(bias)).transpose()?;

    let mut op = LinearCrossEntropy::new(loss);
    if let Some(bytes) = scratch {
        op = op.with_scratch_bytes(bytes);
    }
    if args.loss.grad.is_some() {
        op = op.with_hidden_gradient();
    }
    if args.grad_weight.is_some() {
        op = op.with_weight_gradient();
    }
    if args.grad_bias.is_some() {
        op = op.with_bias_gradient();
    }
    let of_hidden = matrix(&hidden, &hidden_data)?;
    let of_weight = matrix(&weight, &weight_data)?;
    let input = LinearCrossEntropyInput::new(of_hidden, of_weight, target_values)
        .with_bias(bias_data.as_ref().map(Array::values))
        .with_upstream(job.upstream());
    let (mut output, timings) = job.compute(&op, input)?;
    job.write_beside("--grad-weight", "dweight", output.dweight.take(), &weight)?;
    if let Some(bias) = &bias {
        job.write_beside("--grad-bias", "dbias", output.dbias.take(), bias)?;
    }
    job.finish(outcome(output, rows, classes), &timings)
}

/// How many classes the layer has, which has to be as wide as its input.
fn classes_of(weight: &InputArray, hidden: &InputArray) -> Result<usize> {
    let (classes, width) = weight.rows_and_classes()?;
    let (_, wanted) = hidden.rows_and_classes()?;
    if weight.shape.len() == 2 && width == wanted && classes > 0 {
        return Ok(classes);
    }
    let (found, spec) = (weight.shown_shape(), weight.spec());
    let (of, like) = (hidden.spec(), hidden.shown_shape());
    Err(Failure::input(format!(
        "{spec}: has the shape {found}, for {of} {like} it is [classes, {wanted}]"
    )))
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
    /// Fails if a gradient cannot be written to the file that was named for it.
    fn check_dtypes(&self, weight: &InputArray, bias: Option<&InputArray>) -> Result<()> {
        if self.device.info().kind == DeviceKind::Reference {
            return Ok(());
        }
        self.files.check_dtype("--grad-weight", weight.dtype)?;
        bias.map_or(Ok(()), |bias| self.files.check_dtype("--grad-bias", bias.dtype))
    }

    /// What a limit of memory leaves beside inputs and outputs, if there is one.
    fn scratch(&self, held: [(&InputArray, bool); 2], targets: usize) -> Result<Option<u64>> {
        let Some(limit) = &self.start.args.common.memory_limit else { return Ok(None) };
        let bytes = |(file, is_written): (&InputArray, bool)| {
            let dtype = self.work.asked.map_or(as_read(file.dtype), Dtype::from);
            file.len() as u64 * dtype.size() as u64 * (1 + u64::from(is_written))
        };
        let resident = held.map(bytes).iter().sum::<u64>() + 8 * targets as u64;
        if limit.bytes > resident {
            return Ok(Some(limit.bytes - resident));
        }
        Err(Failure::input(format!(
            "--memory-limit: {limit} does not hold inputs and outputs, {resident} bytes"
        )))
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
