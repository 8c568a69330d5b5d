//! `surprisal binary-cross-entropy` and `elementwise`, and what runs `focal --binary`.

use std::time::Instant;

use surprisal::{
    Array, BinaryCrossEntropy, Elementwise, ElementwiseInput, ElementwiseLoss, ElementwiseOutput,
    Op, Unit,
};

use super::stream::StreamedFiles;
use super::{Job, Losses, Outcome, Start, open_vector};
use crate::args::{
    BinaryCrossEntropyArgs, ElementwiseArgs, ElementwiseKind, IgnoreIndex, NumberOrFile,
};
use crate::error::{Failure, Result};
use crate::files::{InputArray, InputSpec, matrix};
use crate::shapes;
use crate::stream::{self, Mask, Rows, nonzero, restore};

/// Why there is none.
pub(super) const NO_LSE: &str =
    "each element is a loss by itself; there is no sum over a row, and no log-sum-exp";

pub(crate) fn binary_cross_entropy(args: &BinaryCrossEntropyArgs) -> Result<()> {
    let pos_weight = args.pos_weight.as_ref().and_then(NumberOrFile::file);
    let inputs = [
        ("input", Some(&args.input)),
        ("targets", Some(&args.targets)),
        ("weights", args.weights.as_ref()),
        ("pos_weight", pos_weight),
    ];
    let ignored = IgnoreIndex::label(args.ignore_index)?;
    let start = Start::new(&args.loss, inputs)?.without_lse(NO_LSE)?;
    let files =
        Files::of(&args.input, &args.targets, "dinput")?.with_weights(args.weights.as_ref())?;
    let files = files.with_ignored(ignored);
    let (_, columns) = files.input.rows_and_columns();
    let pos_weight = open_vector(pos_weight, &files.input, (columns, "column"))?;
    let mut op = BinaryCrossEntropy::new()
        .with_reduction(args.loss.reduction.into())
        .with_unit(Unit::from(args.loss.unit))
        .with_form(args.form.into())
        .with_labels(args.labels.into())
        .with_normalizer(args.loss.normalizer)
        .with_ignore_index(ignored);
    if args.loss.grad.is_some() {
        op = op.with_gradient();
    }
    if let Some(NumberOrFile::Number(weight)) = args.pos_weight {
        op = op.with_pos_weight_of_all(weight);
    }
    let rows = if pos_weight.is_some() { Rows::Whole } else { Rows::Folded };
    run(start, files.with_rows(rows), |job| {
        let pos_weight = job.read_optional(pos_weight)?;
        Ok(match pos_weight {
            Some(pos_weight) => op.with_pos_weight(pos_weight.to_f64()),
            None => op,
        })
    })
}

pub(crate) fn elementwise(args: &ElementwiseArgs) -> Result<()> {
    let name = match args.kind {
        ElementwiseKind::Squared => "a squared error",
        ElementwiseKind::Absolute => "an absolute error",
        ElementwiseKind::Huber => "a Huber loss",
        ElementwiseKind::Hinge => "a hinge loss",
    };
    let unit = Unit::from(args.loss.unit);
    if unit != Unit::Nats {
        let reason = format!("{name} is no information; it has no {unit}");
        return Err(Failure::input(format!("--unit: {reason}")));
    }
    if args.delta.is_some() && args.kind != ElementwiseKind::Huber {
        return Err(Failure::input(format!("--delta: is for --loss huber; {name} has none")));
    }
    let ignored = IgnoreIndex::label(args.ignore_index)?;
    let mut op = Elementwise::new(match args.kind {
        ElementwiseKind::Squared => ElementwiseLoss::Squared,
        ElementwiseKind::Absolute => ElementwiseLoss::Absolute,
        ElementwiseKind::Huber => ElementwiseLoss::Huber { delta: args.delta.unwrap_or(1.0) },
        ElementwiseKind::Hinge => ElementwiseLoss::Hinge,
    })
    .with_reduction(args.loss.reduction.into())
    .with_normalizer(args.loss.normalizer)
    .with_ignore_index(ignored);
    if args.loss.grad.is_some() {
        op = op.with_gradient();
    }
    let inputs = [("input", Some(&args.input)), ("targets", Some(&args.targets))];
    let start = Start::new(&args.loss, inputs)?.without_lse(NO_LSE)?;
    let files = Files::of(&args.input, &args.targets, "dinput")?;
    run(start, files.with_ignored(ignored), |_| Ok(op))
}

/// The files of an elementwise loss, all of one shape.
pub(super) struct Files {
    input: InputArray,
    targets: InputArray,
    weights: Option<InputArray>,
    /// The label of elements that do not count.
    ignored: Option<f64>,
    /// Whether an element's column matters.
    rows: Rows,
    /// What the gradient's tensor is called.
    gradient: &'static str,
}

impl Files {
    pub(super) fn of(
        input: &InputSpec,
        targets: &InputSpec,
        gradient: &'static str,
    ) -> Result<Self> {
        let (input, targets) = (InputArray::open(input)?, InputArray::open(targets)?);
        shapes::expect_same(&targets, &input)?;
        Ok(Self { input, targets, weights: None, ignored: None, rows: Rows::Folded, gradient })
    }

    fn with_rows(self, rows: Rows) -> Self {
        Self { rows, ..self }
    }

    pub(super) fn with_ignored(self, ignored: Option<f64>) -> Self {
        Self { ignored, ..self }
    }

    fn with_weights(mut self, weights: Option<&InputSpec>) -> Result<Self> {
        self.weights = weights.map(InputArray::open).transpose()?;
        if let Some(weights) = &self.weights {
            shapes::expect_same(weights, &self.input)?;
        }
        Ok(self)
    }
}

/// Runs an elementwise loss; a scalar is one row of one column. `op` may read what the operation
/// holds.
pub(super) fn run<O>(
    start: Start<'_>,
    files: Files,
    op: impl FnOnce(&mut Job<'_>) -> Result<O>,
) -> Result<()>
where
    O: for<'a> Op<Input<'a> = ElementwiseInput<'a>, Output = ElementwiseOutput>,
{
    let Files { mut input, mut targets, mut weights, ignored, rows, gradient } = files;
    let mut others = vec![&targets];
    others.extend(&weights);
    let mut job = start.open(&input, &others, &Losses::OfElements)?;

    let op = op(&mut job)?;
    let (elements, shape) = (input.len(), input.shown_shape());
    let some_count = job.mask.is_some() || ignored.is_some();
    let over = |kept: usize| {
        let of = if some_count { format!("{kept} of ") } else { String::new() };
        format!("{of}{elements} elements {shape}")
    };
    if job.streams() {
        input.expect_floats()?;
        weights.as_ref().map_or(Ok(()), InputArray::expect_floats)?;
        let (mut mask, mut kept) = (job.mask.take(), elements);
        if some_count {
            targets = targets.rereadable()?;
            mask = mask.map(InputArray::rereadable).transpose()?;
            kept = count_kept(&mut job, mask.as_mut(), (&mut targets, ignored))?;
        }
        let of_elements = match (&mask, some_count) {
            (Some(_), _) => Mask::Elements(kept),
            (None, true) => Mask::Labels(kept),
            (None, false) => Mask::Nothing,
        };
        let batch = StreamedFiles {
            matrices: [input, targets].into_iter().chain(weights).chain(mask).collect(),
            targets: None,
            mask: of_elements,
            rows,
            gradient,
            over: &|_| over(kept),
            resident: 0,
        };
        return job.stream(&op, batch, |window| {
            let mut input = ElementwiseInput::new(window.all[0], window.all[1])
                .with_weights(window.all.get(2).copied())
                .with_upstream(window.upstream);
            input.mask = window.mask;
            input
        });
    }
    let mask = job.read_mask()?;
    let weight_data = weights.as_mut().map(|file| job.read_matrix(file)).transpose()?;
    let target_data = job.read_numbers(&mut targets)?;
    let input_data = job.read_matrix(&mut input)?;
    let weights = match (&weights, &weight_data) {
        (Some(file), Some(data)) => Some(matrix(file, data)?),
        _ => None,
    };
    let (input_matrix, targets) = (matrix(&input, &input_data)?, matrix(&targets, &target_data)?);
    let mut elements = ElementwiseInput::new(input_matrix, targets)
        .with_weights(weights)
        .with_upstream(job.upstream());
    elements.mask = mask.as_deref();
    let (output, timings) = job.compute(&op, elements)?;
    let kept = kept_of(mask.as_deref(), &target_data, ignored);
    let outcome = Outcome {
        loss: output.loss,
        lse: None,
        gradient: (gradient, output.dinput),
        metrics: None,
        kept_rows: input_matrix.rows() as u64,
        total_weight: kept as f64,
        over: over(kept),
    };
    job.finish(outcome, &timings)
}

/// Elements that are counted at a time, before they are streamed.
const COUNTED: usize = 1 << 16;

/// How many elements count, of files that are read once more for it.
fn count_kept(
    job: &mut Job<'_>,
    mut mask: Option<&mut InputArray>,
    (targets, ignored): (&mut InputArray, Option<f64>),
) -> Result<usize> {
    let (started, elements) = (Instant::now(), targets.len());
    let (mut of_mask, mut labels, mut kept) = (Array::F32(Vec::new()), Array::F32(Vec::new()), 0);
    for first in (0..elements).step_by(COUNTED) {
        let window = first..elements.min(first + COUNTED);
        let counts = match &mut mask {
            None => None,
            Some(mask) => {
                mask.read_window(window.clone(), &mut of_mask)?;
                Some(nonzero(&of_mask))
            }
        };
        if ignored.is_some() {
            targets.read_window(window, &mut labels)?;
            restore(&mut labels, job.work.asked);
            kept += kept_of(counts.as_deref(), &labels, ignored);
        } else {
            kept += stream::kept(counts.as_deref(), window.len());
        }
    }
    job.start.clock.read += started.elapsed();
    Ok(kept)
}

/// How many elements count in memory.
fn kept_of(mask: Option<&[bool]>, labels: &Array, ignored: Option<f64>) -> usize {
    let counts = |i: usize, label: f64| {
        mask.is_none_or(|mask| mask[i]) && ignored.is_none_or(|ignored| label != ignored)
    };
    labels.to_f64().into_iter().enumerate().filter(|&(i, label)| counts(i, label)).count()
}
