//! `surprisal softmax`, `log-softmax`, `logsumexp` and `entropy`.

use std::time::Instant;

use surprisal::{Array, Entropy, Error, LogSoftmax, LogSumExp, Matrix, Op, Softmax, Stream, Unit};

use crate::args::{DeviceArg, EntropyArgs, TransformArgs};
use crate::device;
use crate::error::{Failure, Result};
use crate::files::{InputArray, Outputs, check_distinct, check_dtype, matrix};
use crate::progress::Progress;
use crate::report::{Clock, Report, Work, shortest};
use crate::storage::{returned, stored};
use crate::stream::{Context, Files, FromAbove, Rows};

pub(crate) fn softmax(args: &TransformArgs) -> Result<()> {
    run(&Softmax, args, &Shape { name: "softmax", tensor: "probs", columns: Columns::Kept })
}

pub(crate) fn log_softmax(args: &TransformArgs) -> Result<()> {
    run(
        &LogSoftmax,
        args,
        &Shape { name: "log-softmax", tensor: "log_probs", columns: Columns::Kept },
    )
}

pub(crate) fn logsumexp(args: &TransformArgs) -> Result<()> {
    run(&LogSumExp, args, &Shape { name: "logsumexp", tensor: "lse", columns: Columns::Reduced })
}

pub(crate) fn entropy(args: &EntropyArgs) -> Result<()> {
    let unit = Unit::from(args.unit);
    let name = match unit {
        Unit::Bits => "entropy in bits",
        Unit::Hartleys => "entropy in hartleys",
        _ => "entropy in nats",
    };
    run(
        &Entropy::new().with_unit(unit),
        &args.transform,
        &Shape { name, tensor: "entropy", columns: Columns::Reduced },
    )
}

/// What a transform's result is called, and its shape.
struct Shape {
    name: &'static str,
    tensor: &'static str,
    columns: Columns,
}

#[derive(PartialEq, Eq)]
enum Columns {
    /// A value for each element.
    Kept,
    /// A value for each row.
    Reduced,
}

fn run<O>(op: &O, args: &TransformArgs, shape: &Shape) -> Result<()>
where
    O: Stream + for<'a> Op<Input<'a> = Matrix<'a>, Output = Array>,
{
    let mut clock = Clock::start();
    let outputs = args.common.outputs(&[]);
    check_distinct(&outputs, &[&args.logits])?;
    let mut logits = InputArray::open(&args.logits)?;
    let (rows, classes) = logits.rows_and_classes()?;
    let kept = shape.columns == Columns::Kept;
    // What the reference returns is f64.
    if kept && args.common.device != DeviceArg::Reference {
        check_dtype(&outputs, "--out", logits.dtype)?;
    }
    let mut files_out = Outputs::open(&outputs)?;
    let device = device::open(&args.common)?;

    let progress = Progress::new(args.common.quiet.into());
    let asked = args.common.dtype;
    let leading = logits.leading().to_vec();
    let (dtype, out_shape) = (logits.dtype, if kept { logits.shape.clone() } else { leading });
    let place = ("--out", shape.tensor, &out_shape[..]);
    let limit = args.common.memory_limit.as_ref().filter(|_| !logits.is_empty());
    let (sum, timings) = if let Some(limit) = limit {
        logits.expect_floats()?;
        let files = Files {
            matrices: vec![logits],
            upstream: FromAbove::One(1.0),
            targets: None,
            resident: 0,
            rows: Rows::Whole,
            matrix: kept.then_some(place),
            each: (!kept).then_some(place),
            lse: None,
        };
        let mut context = Context {
            device: &device,
            outputs: &mut files_out,
            progress: &progress,
            clock: &mut clock,
            limit,
            asked,
        };
        let blame = |error: &Error| Failure::of(error, &args.logits);
        let streamed = context.run(op, files, |window| window.all[0], &blame)?;
        (streamed.sum, streamed.timings)
    } else {
        let started = Instant::now();
        let data = stored(logits.read_floats(&progress)?, asked);
        clock.read = started.elapsed();
        progress.start("computing", 0);
        let (output, timings) = device
            .run_timed(op, matrix(&logits, &data)?)
            .map_err(|error| Failure::of(&error, &args.logits))?;
        let started = Instant::now();
        let output = if kept { returned(output, dtype, asked, &device) } else { output };
        files_out.write(place.0, place.1, &output, place.2, &progress)?;
        clock.write = started.elapsed();
        (if kept { 0.0 } else { output.to_f64().iter().sum::<f64>() }, timings)
    };
    let started = Instant::now();
    files_out.complete()?;
    progress.finish();
    clock.write += started.elapsed();

    let read = (dtype, (rows * classes) as u64);
    let moved = if kept { vec![read, read] } else { vec![read] };
    let work = Work { rows, classes, moved, asked };
    let mut heading = format!("{} of {rows} rows, {classes} classes", shape.name);
    if !kept && rows > 0 {
        let mean = sum / rows as f64;
        heading += &format!(": {} on average", shortest(mean, &device));
    }
    let mut report = Report::new(&work, &device, heading);
    for (_, spec) in outputs {
        report.wrote(shape.name, spec);
    }
    files_out.publish(|| report.print(&args.common, &clock, &timings))
}
