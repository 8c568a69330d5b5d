//! `surprisal cross-entropy`.

use surprisal::{
    CrossEntropy, CrossEntropyInput, CrossEntropyOutput, InputForm, Matrix, Targets, Unit,
};

use super::{Job, Outcome, Start, open_vector};
use crate::args::{ClassWeights, CrossEntropyArgs};
use crate::error::{Failure, Result};
use crate::files::{Data, InputArray, matrix};

pub(crate) fn run(args: &CrossEntropyArgs) -> Result<()> {
    let weights = args.class_weights.as_ref().and_then(ClassWeights::file);
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
    let each = loss_shape(&logits, &targets)?;
    let (_, classes) = logits.rows_and_classes()?;
    let weights = open_vector(weights, classes, "classes")?;
    let probs = if targets.dtype.is_float() { vec![&targets] } else { vec![] };
    let mut job = start.open(&logits, &probs, &each)?;

    let weights = job.read_optional(weights)?;
    let target_data = job.read(&mut targets)?;
    let logit_data = job.read_matrix(&mut logits)?;
    let logits = matrix(&logits, &logit_data)?;
    let target_values = target_values(&target_data, &targets)?;
    let mut op = op(args);
    op = match (&args.class_weights, &weights) {
        (Some(ClassWeights::InverseFrequency), _) => op
            .with_inverse_frequency_weights(target_values, classes)
            .map_err(|error| job.blame(&error))?,
        (_, Some(weights)) => op.with_class_weights(weights.to_f64()),
        _ => op,
    };
    compute(job, &op, logits, target_values)
}

fn compute(
    job: Job<'_>,
    op: &CrossEntropy,
    logits: Matrix<'_>,
    targets: Targets<'_>,
) -> Result<()> {
    let input = CrossEntropyInput::new(logits, targets).with_upstream(job.upstream());
    let (output, timings) = job.compute(op, input)?;
    job.finish(outcome(output, logits.rows(), logits.classes()), &timings)
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
        over: format!("{kept} of {rows} rows, {classes} classes"),
    }
}

/// The operation, but for the class weights.
fn op(args: &CrossEntropyArgs) -> CrossEntropy {
    let mut op = CrossEntropy::new()
        .with_reduction(args.loss.reduction.into())
        .with_unit(Unit::from(args.loss.unit))
        .with_form(args.input.into())
        .with_clamp(args.clamp)
        .with_label_smoothing(args.label_smoothing)
        .with_z_loss(args.z_loss)
        .with_softcap(args.softcap)
        .with_logit_scale(args.logit_scale)
        .with_normalizer(args.normalizer);
    // Probability targets refuse a value to ignore if it was asked for.
    if let Some(ignored) = args.ignore_index {
        op = op.with_ignore_index(ignored.0);
    }
    if args.metrics {
        op = op.with_metrics();
    }
    if args.loss.grad.is_some() { op.with_gradient() } else { op }
}

/// The shape of the rows' losses: the targets', or the rows' own where targets are probabilities.
fn loss_shape(logits: &InputArray, targets: &InputArray) -> Result<Vec<u64>> {
    if !targets.dtype.is_float() {
        return index_shape(logits, targets);
    }
    logits.rows_and_classes()?;
    if targets.shape == logits.shape {
        return Ok(logits.leading().to_vec());
    }
    Err(Failure::input(format!(
        "{}: holds {} {}; targets are class indices, integers, or probabilities shaped like {} {}",
        targets.spec(),
        targets.dtype,
        targets.shown_shape(),
        logits.spec(),
        logits.shown_shape()
    )))
}

/// The shape of class indices, which have to be as many as there are rows.
pub(super) fn index_shape(logits: &InputArray, targets: &InputArray) -> Result<Vec<u64>> {
    let (rows, _) = logits.rows_and_classes()?;
    if targets.dtype.is_float() {
        return Err(Failure::input(format!(
            "{}: holds {}; targets are class indices, integers",
            targets.spec(),
            targets.dtype
        )));
    }
    if targets.len() != rows {
        return Err(Failure::input(format!(
            "{}: {} targets, but {} {} has {rows} rows",
            targets.spec(),
            targets.shown_shape(),
            logits.spec(),
            logits.shown_shape()
        )));
    }
    Ok(targets.shape.clone())
}

pub(super) fn target_values<'a>(data: &'a Data, file: &InputArray) -> Result<Targets<'a>> {
    Ok(match data {
        Data::I32(values) => values.into(),
        Data::I64(values) => values.into(),
        Data::Floats(probs) => matrix(file, probs)?.into(),
    })
}
