//! `surprisal kl-divergence` and `js-divergence`.

use surprisal::{DivergenceInput, DivergenceOutput, JsDivergence, KlDivergence, Op, Unit};

use super::stream::StreamedFiles;
use super::{Losses, Outcome, Start};
use crate::args::{DivergenceArgs, JsDivergenceArgs, KlDivergenceArgs};
use crate::error::Result;
use crate::files::{InputArray, matrix};
use crate::shapes;
use crate::stream::{Mask, Rows, kept};

pub(crate) fn kl_divergence(args: &KlDivergenceArgs) -> Result<()> {
    let divergence = &args.divergence;
    let mut op = KlDivergence::new()
        .with_normalizer(divergence.loss.normalizer)
        .with_reduction(divergence.loss.reduction.into())
        .with_unit(Unit::from(divergence.loss.unit))
        .with_temperature(divergence.temperature)
        .with_teacher(divergence.form.into());
    if args.reverse {
        op = op.with_reverse();
    }
    if divergence.loss.grad.is_some() {
        op = op.with_gradient();
    }
    run(divergence, &op)
}

pub(crate) fn js_divergence(args: &JsDivergenceArgs) -> Result<()> {
    let divergence = &args.divergence;
    let mut op = JsDivergence::new()
        .with_normalizer(divergence.loss.normalizer)
        .with_reduction(divergence.loss.reduction.into())
        .with_unit(Unit::from(divergence.loss.unit))
        .with_temperature(divergence.temperature)
        .with_teacher(divergence.form.into())
        .with_beta(args.beta);
    if divergence.loss.grad.is_some() {
        op = op.with_gradient();
    }
    run(divergence, &op)
}

fn run<O>(args: &DivergenceArgs, op: &O) -> Result<()>
where
    O: for<'a> Op<Input<'a> = DivergenceInput<'a>, Output = DivergenceOutput>,
{
    let inputs = [("student", Some(&args.student)), ("teacher", Some(&args.teacher))];
    let start = Start::new(&args.loss, inputs)?;
    let mut teacher = InputArray::open(&args.teacher)?;
    let mut student = InputArray::open(&args.student)?;
    let (rows, classes) = student.rows_and_classes()?;
    shapes::expect_same(&student, &teacher)?;
    let mut job = start.open(&student, &[&teacher], &Losses::OfRows(student.leading().to_vec()))?;

    let mask = job.read_mask()?;
    let mask = mask.as_deref();
    let over = |kept: u64| match mask {
        None => format!("{rows} rows, {classes} classes"),
        Some(_) => super::cross_entropy::over(kept, rows, classes),
    };
    if job.streams() {
        teacher.expect_floats()?;
        student.expect_floats()?;
        let batch = StreamedFiles {
            matrices: vec![student, teacher],
            targets: None,
            mask: Mask::rows(mask),
            rows: Rows::Whole,
            gradient: "dstudent",
            over: &over,
            resident: 0,
        };
        return job.stream(op, batch, |window| {
            DivergenceInput::new(window.all[1], window.all[0]).with_upstream(window.upstream)
        });
    }
    let teacher_data = job.read_matrix(&mut teacher)?;
    let student_data = job.read_matrix(&mut student)?;
    let mut input =
        DivergenceInput::new(matrix(&teacher, &teacher_data)?, matrix(&student, &student_data)?)
            .with_upstream(job.upstream());
    input.mask = mask;
    let kept = kept(mask, rows);
    let (output, timings) = job.compute(op, input)?;
    let outcome = Outcome {
        loss: output.loss,
        lse: Some(output.lse),
        gradient: ("dstudent", output.dstudent),
        metrics: None,
        kept_rows: kept as u64,
        total_weight: kept as f64,
        over: over(kept as u64),
    };
    job.finish(outcome, &timings)
}
