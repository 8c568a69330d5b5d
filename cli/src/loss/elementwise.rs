//! `surprisal binary-cross-entropy` and `elementwise`, and what runs `focal --binary`.

use surprisal::{
    BinaryCrossEntropy, Elementwise, ElementwiseInput, ElementwiseLoss, ElementwiseOutput, Op,
    Stream, Unit,
};

use super::stream::StreamedFiles;
use super::{Job, Losses, Outcome, Start, open_vector};
use crate::args::{BinaryCrossEntropyArgs, ElementwiseArgs, ElementwiseKind, NumberOrFile};
use crate::error::{Failure, Result};
use crate::files::{InputArray, InputSpec, matrix};
use crate::shapes;
use crate::stream::Rows;

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
    let start = Start::new(&args.loss, inputs)?.without_lse(NO_LSE)?;
    let files =
        Files::of(&args.input, &args.targets, "dinput")?.with_weights(args.weights.as_ref())?;
    let (_, columns) = files.input.rows_and_columns();
    let pos_weight = open_vector(pos_weight, &files.input, (columns, "column"))?;
    let mut op = BinaryCrossEntropy::new()
        .with_reduction(args.loss.reduction.into())
        .with_unit(Unit::from(args.loss.unit))
        .with_form(args.form.into())
        .with_labels(args.labels.into());
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
    let mut op = Elementwise::new(match args.kind {
        ElementwiseKind::Squared => ElementwiseLoss::Squared,
        ElementwiseKind::Absolute => ElementwiseLoss::Absolute,
        ElementwiseKind::Huber => ElementwiseLoss::Huber { delta: args.delta.unwrap_or(1.0) },
        ElementwiseKind::Hinge => ElementwiseLoss::Hinge,
    })
    .with_reduction(args.loss.reduction.into());
    if args.loss.grad.is_some() {
        op = op.with_gradient();
    }
    let inputs = [("input", Some(&args.input)), ("targets", Some(&args.targets))];
    let start = Start::new(&args.loss, inputs)?.without_lse(NO_LSE)?;
    run(start, Files::of(&args.input, &args.targets, "dinput")?, |_| Ok(op))
}

/// The files of an elementwise loss, all of one shape.
pub(super) struct Files {
    input: InputArray,
    targets: InputArray,
    weights: Option<InputArray>,
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
        Ok(Self { input, targets, weights: None, rows: Rows::Folded, gradient })
    }

    fn with_rows(self, rows: Rows) -> Self {
        Self { rows, ..self }
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
    O: Stream + for<'a> Op<Input<'a> = ElementwiseInput<'a>, Output = ElementwiseOutput>,
{
    let Files { mut input, mut targets, mut weights, rows, gradient } = files;
    let mut others = vec![&targets];
    others.extend(&weights);
    let mut job = start.open(&input, &others, &Losses::OfElements)?;

    let op = op(&mut job)?;
    let over = format!("{} elements {}", input.len(), input.shown_shape());
    if job.streams() {
        input.expect_floats()?;
        weights.as_ref().map_or(Ok(()), InputArray::expect_floats)?;
        let matrices = [input, targets].into_iter().chain(weights).collect();
        let (over, resident): (&dyn Fn(u64) -> String, _) = (&|_| over.clone(), 0);
        let batch = StreamedFiles { matrices, targets: None, rows, gradient, over, resident };
        return job.stream(&op, batch, |window| {
            ElementwiseInput::new(window.all[0], window.all[1])
                .with_weights(window.all.get(2).copied())
                .with_upstream(window.upstream)
        });
    }
    let weight_data = weights.as_mut().map(|file| job.read_matrix(file)).transpose()?;
    let target_data = job.read_numbers(&mut targets)?;
    let input_data = job.read_matrix(&mut input)?;
    let weights = match (&weights, &weight_data) {
        (Some(file), Some(data)) => Some(matrix(file, data)?),
        _ => None,
    };
    let (input_matrix, targets) = (matrix(&input, &input_data)?, matrix(&targets, &target_data)?);
    let elements = ElementwiseInput::new(input_matrix, targets)
        .with_weights(weights)
        .with_upstream(job.upstream());
    let (output, timings) = job.compute(&op, elements)?;
    let outcome = Outcome {
        loss: output.loss,
        lse: None,
        gradient: (gradient, output.dinput),
        metrics: None,
        kept_rows: input_matrix.rows() as u64,
        total_weight: input.len() as f64,
        over,
    };
    job.finish(outcome, &timings)
}
