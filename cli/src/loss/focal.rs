//! `surprisal focal`.

use surprisal::{BinaryFocal, CrossEntropyInput, Focal, Unit};

use super::cross_entropy::{index_shape, input_of, outcome, over, streamed, target_values};
use super::{Losses, Start, elementwise, open_vector};
use crate::args::{FocalArgs, IgnoreIndex, NumberOrFile};
use crate::error::{Failure, Result};
use crate::files::{InputArray, matrix};

pub(crate) fn run(args: &FocalArgs) -> Result<()> {
    if args.binary { binary(args) } else { classes(args) }
}

fn classes(args: &FocalArgs) -> Result<()> {
    if let Some(NumberOrFile::Number(number)) = args.alpha {
        let reason = "is a number; it is a file with one for each class, unless --binary is given";
        return Err(Failure::input(format!("--alpha: {number} {reason}")));
    }
    let alpha = args.alpha.as_ref().and_then(NumberOrFile::file);
    let inputs =
        [("logits", Some(&args.logits)), ("targets", Some(&args.targets)), ("alpha", alpha)];
    let start = Start::new(&args.loss, inputs)?;
    let mut logits = InputArray::open(&args.logits)?;
    let mut targets = InputArray::open(&args.targets)?;
    let (rows, classes) = logits.rows_and_classes()?;
    let each = index_shape(&logits, &targets, (classes, "focal loss takes no one-hot labels"))?;
    let alpha = open_vector(alpha, &logits, (classes, "class"))?;
    let mut job = start.open(&logits, &[], &Losses::OfRows(each))?;

    let alpha = job.read_optional(alpha)?;
    let mask = job.read_mask()?;
    let mask = mask.as_deref();
    let target_data = job.read_targets(&mut targets, mask)?;
    let target_values = target_values(&target_data, &targets)?;
    let mut op = Focal::new()
        .with_normalizer(args.loss.normalizer)
        .with_reduction(args.loss.reduction.into())
        .with_unit(Unit::from(args.loss.unit))
        .with_gamma(args.gamma);
    if let Some(ignored) = args.ignore_index {
        op = op.with_ignore_index(ignored.0);
    }
    if let Some(alpha) = &alpha {
        op = op.with_alpha(alpha.to_f64());
    }
    if args.loss.grad.is_some() {
        op = op.with_gradient();
    }
    if job.streams() {
        logits.expect_floats()?;
        let over = |kept| over(kept, rows, classes);
        let batch = streamed(vec![logits], (Some(target_values), mask), &over);
        return job.stream(&op, batch, input_of);
    }
    let logit_data = job.read_matrix(&mut logits)?;
    let mut input = CrossEntropyInput::new(matrix(&logits, &logit_data)?, target_values)
        .with_upstream(job.upstream());
    input.mask = mask;
    let (output, timings) = job.compute(&op, input)?;
    job.finish(outcome(output, rows, classes), &timings)
}

fn binary(args: &FocalArgs) -> Result<()> {
    let ignored = IgnoreIndex::label(args.ignore_index)?;
    let mut op = BinaryFocal::new()
        .with_normalizer(args.loss.normalizer)
        .with_ignore_index(ignored)
        .with_reduction(args.loss.reduction.into())
        .with_unit(Unit::from(args.loss.unit))
        .with_gamma(args.gamma);
    match &args.alpha {
        Some(NumberOrFile::Number(alpha)) => op = op.with_alpha(*alpha),
        Some(NumberOrFile::File(spec)) => {
            let reason = "is a file; with --binary it is a number";
            return Err(Failure::input(format!("--alpha: {spec} {reason}")));
        }
        None => {}
    }
    if args.loss.grad.is_some() {
        op = op.with_gradient();
    }
    let inputs = [("logits", Some(&args.logits)), ("targets", Some(&args.targets))];
    let start = Start::new(&args.loss, inputs)?.without_lse(elementwise::NO_LSE)?;
    let files =
        elementwise::Files::of(&args.logits, &args.targets, "dlogits")?.with_ignored(ignored);
    elementwise::run(start, files, |_| Ok(op))
}
