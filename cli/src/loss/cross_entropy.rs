//! `surprisal cross-entropy`.

use surprisal::{
    BatchTargets, CrossEntropy, CrossEntropyInput, CrossEntropyOutput, InputForm, Matrix, Targets,
    Unit,
};

use super::stream::StreamedFiles;
use super::{Job, Losses, Outcome, Start, open_vector};
use crate::args::{ClassWeights, CrossEntropyArgs, CrossEntropyOptions, LossArgs};
use crate::error::{Failure, Result};
use crate::files::{Data, InputArray, InputSpec, matrix, shown};
use crate::shapes;
use crate::stream::{Mask, Matrices, Rows};

pub(crate) fn run(args: &CrossEntropyArgs) -> Result<()> {
    let weights = args.options.weights_file();
    let inputs = [
        ("logits", Some(&args.logits)),
        ("targets", Some(&args.targets)),
        ("class_weights", weights),
    ];
    let mut start = Start::new(&args.loss, inputs)?;
    let form = InputForm::from(args.input);
    if form != InputForm::Logits {
        let reason = format!("is of logits; the input is {form}, normalised already");
        start = start.without_lse(&reason)?;
    }
    let mut logits = InputArray::open(&args.logits)?;
    let mut targets = InputArray::open(&args.targets)?;
    let (rows, classes) = logits.rows_and_classes()?;
    let each = loss_shape(&logits, &targets, classes)?;
    let weights = open_vector(weights, &logits, (classes, "class"))?;
    let probs = if targets.dtype.is_float() { vec![&targets] } else { vec![] };
    let mut job = start.open(&logits, &probs, &Losses::OfRows(each))?;

    let weights = job.read_optional(weights)?;
    let mut op = op(args);
    if let Some(weights) = &weights {
        op = op.with_class_weights(weights.to_f64());
    }
    let mask = job.read_mask()?;
    let mask = mask.as_deref();
    let inverse = args.options.weighs_by_frequency();
    if targets.dtype.is_float() && job.streams() {
        if inverse {
            op = weighted(&job, op, BatchTargets::probs_in_windows(rows), classes)?;
        }
        return stream(job, &op, vec![logits, targets], (None, mask));
    }
    let target_data = job.read_targets(&mut targets, mask)?;
    let target_values = target_values(&target_data, &targets)?;
    if inverse {
        op = weighted(&job, op, batch_targets(target_values, mask), classes)?;
    }
    if job.streams() {
        return stream(job, &op, vec![logits], (Some(target_values), mask));
    }
    let logit_data = job.read_matrix(&mut logits)?;
    let logits = matrix(&logits, &logit_data)?;
    compute(job, &op, logits, batch_targets(target_values, mask))
}

/// With weights by how rare a class is.
pub(super) fn weighted(
    job: &Job<'_>,
    op: CrossEntropy,
    targets: BatchTargets<'_>,
    classes: usize,
) -> Result<CrossEntropy> {
    op.with_inverse_frequency_weights(targets, classes).map_err(|error| job.blame(&error))
}

/// The targets of all rows, and which of them count.
pub(super) fn batch_targets<'a>(
    targets: Targets<'a>,
    mask: Option<&'a [bool]>,
) -> BatchTargets<'a> {
    let mut targets = BatchTargets::new(targets);
    targets.mask = mask;
    targets
}

/// Window by window; targets are in memory, or the second matrix.
fn stream(
    job: Job<'_>,
    op: &CrossEntropy,
    matrices: Vec<InputArray>,
    (targets, mask): (Option<Targets<'_>>, Option<&[bool]>),
) -> Result<()> {
    matrices[0].expect_floats()?;
    let (rows, classes) = matrices[0].rows_and_columns();
    job.stream(op, streamed(matrices, (targets, mask), &|kept| over(kept, rows, classes)), input_of)
}

/// A window's input.
pub(super) fn input_of<'w>(window: &'w Matrices<'w>) -> CrossEntropyInput<'w> {
    let probs = window.all.get(1).copied().map(Targets::Probs);
    let targets = window.targets.or(probs).unwrap_or(Targets::I32(&[]));
    CrossEntropyInput::new(window.all[0], targets).with_upstream(window.upstream)
}

/// A batch with a loss a row.
pub(super) fn streamed<'a>(
    matrices: Vec<InputArray>,
    (targets, mask): (Option<Targets<'a>>, Option<&'a [bool]>),
    over: &'a dyn Fn(u64) -> String,
) -> StreamedFiles<'a> {
    let resident = match targets {
        Some(Targets::I32(values)) => size_of_val(values) as u64,
        Some(Targets::I64(values)) => size_of_val(values) as u64,
        _ => 0,
    };
    let (rows, gradient, mask) = (Rows::Whole, "dlogits", Mask::rows(mask));
    StreamedFiles { matrices, targets, mask, rows, gradient, over, resident }
}

fn compute(
    job: Job<'_>,
    op: &CrossEntropy,
    logits: Matrix<'_>,
    targets: BatchTargets<'_>,
) -> Result<()> {
    let mut input = CrossEntropyInput::new(logits, targets.targets).with_upstream(job.upstream());
    input.mask = targets.mask;
    let (output, timings) = job.compute(op, input)?;
    job.finish(outcome(output, logits.rows(), logits.columns()), &timings)
}

/// What cross-entropy returned, or focal loss.
pub(super) fn outcome(output: CrossEntropyOutput, rows: usize, classes: usize) -> Outcome {
    let kept = output.kept_rows;
    Outcome {
        loss: output.loss,
        lse: Some(output.lse),
        gradient: ("dlogits", output.dlogits),
        metrics: output.metrics,
        kept_rows: kept,
        total_weight: output.total_weight,
        over: over(kept, rows, classes),
    }
}

pub(super) fn over(kept: u64, rows: usize, classes: usize) -> String {
    format!("{kept} of {rows} rows, {classes} classes")
}

/// The operation, but for the class weights.
fn op(args: &CrossEntropyArgs) -> CrossEntropy {
    let op = args.options.op(&args.loss).with_form(args.input.into()).with_clamp(args.clamp);
    if args.loss.grad.is_some() { op.with_gradient() } else { op }
}

impl CrossEntropyOptions {
    /// The operation without a gradient and without class weights.
    pub(super) fn op(&self, loss: &LossArgs) -> CrossEntropy {
        let mut op = CrossEntropy::new()
            .with_reduction(loss.reduction.into())
            .with_unit(Unit::from(loss.unit))
            .with_label_smoothing(self.label_smoothing)
            .with_z_loss(self.z_loss)
            .with_softcap(self.softcap)
            .with_logit_scale(self.logit_scale)
            .with_normalizer(loss.normalizer);
        // Probability targets refuse a value to ignore if it was asked for.
        if let Some(ignored) = self.ignore_index {
            op = op.with_ignore_index(ignored.0);
        }
        if self.metrics { op.with_metrics() } else { op }
    }

    /// The file of class weights, if they are in one.
    pub(super) fn weights_file(&self) -> Option<&InputSpec> {
        self.class_weights.as_ref().and_then(ClassWeights::file)
    }

    pub(super) fn weighs_by_frequency(&self) -> bool {
        matches!(self.class_weights, Some(ClassWeights::InverseFrequency))
    }
}

/// The shape of the rows' losses: the targets', or the rows' own where targets are probabilities.
pub(super) fn loss_shape(
    rows_of: &InputArray,
    targets: &InputArray,
    classes: usize,
) -> Result<Vec<u64>> {
    if !targets.dtype.is_float() {
        return index_shape(rows_of, targets, (classes, "one-hot labels are wanted as floats"));
    }
    let probs = [rows_of.leading(), &[classes as u64]].concat();
    if targets.shape == probs {
        return Ok(rows_of.leading().to_vec());
    }
    Err(Failure::input(format!(
        "{}: holds {} {}; targets are class indices, integers, or probabilities, which for {} {} have the \
         shape {}",
        targets.spec(),
        targets.dtype,
        targets.shown_shape(),
        rows_of.spec(),
        rows_of.shown_shape(),
        shown(&probs)
    )))
}

/// The shape of class indices, one for each row of what the logits are or are made of; with the number of
/// classes, and what is to be said of one-hot labels.
pub(super) fn index_shape(
    rows_of: &InputArray,
    targets: &InputArray,
    (classes, of_one_hot): (usize, &str),
) -> Result<Vec<u64>> {
    rows_of.rows_and_classes()?;
    if !targets.dtype.is_float() && shapes::is_by_row(targets, rows_of) {
        return Ok(targets.shape.clone());
    }
    let one_hot = [rows_of.leading(), &[classes as u64]].concat();
    let what = if targets.dtype.is_float() {
        "targets are class indices, integers".to_owned()
    } else if targets.shape == one_hot {
        format!("integers are class indices ({of_one_hot})")
    } else {
        "they are class indices".to_owned()
    };
    Err(Failure::input(format!(
        "{}: holds {} {}; {what}, which for {} {} have the shape {}, one for each row",
        targets.spec(),
        targets.dtype,
        targets.shown_shape(),
        rows_of.spec(),
        rows_of.shown_shape(),
        shapes::one_of(&shapes::by_row(&rows_of.shape))
    )))
}

pub(super) fn target_values<'a>(data: &'a Data, file: &InputArray) -> Result<Targets<'a>> {
    Ok(match data {
        Data::I32(values) => values.into(),
        Data::I64(values) => values.into(),
        Data::Floats(probs) => matrix(file, probs)?.into(),
    })
}
