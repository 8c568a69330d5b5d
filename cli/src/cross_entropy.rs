//! `surprisal cross-entropy`.

use std::time::Instant;

use surprisal::{
    Array, CrossEntropy, CrossEntropyInput, CrossEntropyOutput, Device, DeviceKind, Error, Loss,
    Reduction, Targets, Upstream,
};

use crate::args::{ClassWeights, CrossEntropyArgs, UpstreamArg};
use crate::device;
use crate::error::{Failure, Result};
use crate::files::{Data, InputArray, InputSpec, OutputSpec, Outputs, check_distinct, matrix};
use crate::progress::Progress;
use crate::report::{Clock, Report, Work, number, shortest};

pub(crate) fn run(args: &CrossEntropyArgs) -> Result<()> {
    let mut clock = Clock::start();
    let outputs = args.common.outputs(&[("--grad", &args.grad), ("--lse", &args.lse)]);
    let mut inputs = vec![&args.logits, &args.targets];
    if let UpstreamArg::File(spec) = &args.upstream {
        inputs.push(spec);
    }
    if let Some(ClassWeights::File(spec)) = &args.class_weights {
        inputs.push(spec);
    }
    check_distinct(&outputs, &inputs)?;
    let mut logits = InputArray::open(&args.logits)?;
    let mut targets = InputArray::open(&args.targets)?;
    let (_, classes) = check_shapes(&logits, &targets)?;
    let mut upstream = open_upstream(args, &targets)?;
    let mut weights = open_weights(args, classes)?;
    let device = device::open(&args.common)?;
    let mut files = Outputs::open(&outputs)?;
    if device.info().kind != DeviceKind::Reference {
        files.check_dtype("--grad", logits.dtype)?;
    }

    let progress = Progress::new(args.common.quiet.into());
    let started = Instant::now();
    let target_data = targets.read(&progress)?;
    let upstream_data = upstream.as_mut().map(|file| file.read_floats(&progress)).transpose()?;
    let weight_data = weights.as_mut().map(|file| file.read_floats(&progress)).transpose()?;
    let logit_data = logits.read_floats(&progress)?;
    clock.read = started.elapsed();

    let mut op = CrossEntropy::new()
        .with_reduction(args.reduction.into())
        .with_ignore_index(args.ignore_index.0)
        .with_label_smoothing(args.label_smoothing)
        .with_z_loss(args.z_loss)
        .with_softcap(args.softcap)
        .with_logit_scale(args.logit_scale)
        .with_normalizer(args.normalizer);
    if args.grad.is_some() {
        op = op.with_gradient();
    }
    let index_targets = index_targets(&target_data, &targets)?;
    op = match (&args.class_weights, &weight_data) {
        (Some(ClassWeights::InverseFrequency), _) => op
            .with_inverse_frequency_weights(index_targets, classes)
            .map_err(|error| blame(&error, args))?,
        (_, Some(weights)) => op.with_class_weights(weights.to_f64()),
        _ => op,
    };
    let input = CrossEntropyInput::new(matrix(&logits, &logit_data)?, index_targets)
        .with_upstream(upstream_of(args, upstream_data.as_ref()));
    progress.start("computing", 0);
    let (output, timings) = device.run_timed(&op, input).map_err(|error| blame(&error, args))?;

    let started = Instant::now();
    let scalar;
    let (loss, loss_shape): (&Array, &[u64]) = match &output.loss {
        Loss::Each(rows) => (rows, &targets.shape),
        loss => {
            scalar = scalar_array(loss.reduced().unwrap_or(f64::NAN), &device);
            (&scalar, &[])
        }
    };
    files.write("--out", "loss", loss, loss_shape, &progress)?;
    files.write("--lse", "lse", &output.lse, &targets.shape, &progress)?;
    if let Some(dlogits) = &output.dlogits {
        files.write("--grad", "dlogits", dlogits, &logits.shape, &progress)?;
    }
    files.complete()?;
    progress.finish();
    clock.write = started.elapsed();

    let report = report(args, &output, &logits, &device, &outputs)?;
    report.print(&args.common, &clock, &timings)?;
    files.finish()
}

fn report(
    args: &CrossEntropyArgs,
    output: &CrossEntropyOutput,
    logits: &InputArray,
    device: &Device,
    outputs: &[(&'static str, &OutputSpec)],
) -> Result<Report> {
    let (rows, classes) = logits.rows_and_classes()?;
    let passes = if args.grad.is_some() { 2 } else { 1 };
    let heading = heading(args, &output.loss, output.kept_rows, rows, classes, device);
    let mut report = Report::new(Work { rows, classes, passes }, device, logits.dtype, heading);
    report.loss =
        Some(output.loss.reduced().map_or(serde_json::Value::Null, |x| number(x, device)));
    report.kept_rows = Some(output.kept_rows);
    report.total_weight = Some(output.total_weight);
    for (option, spec) in outputs {
        let what = match *option {
            "--out" => "loss",
            "--lse" => "log-sum-exp",
            _ => "gradient",
        };
        report.wrote(what, spec.path());
    }
    Ok(report)
}

fn check_shapes(logits: &InputArray, targets: &InputArray) -> Result<(usize, usize)> {
    let (rows, classes) = logits.rows_and_classes()?;
    if targets.len() != rows {
        return Err(Failure::input(format!(
            "{}: {} targets, but {} {} has {rows} rows",
            targets.spec(),
            targets.shown_shape(),
            logits.spec(),
            logits.shown_shape()
        )));
    }
    Ok((rows, classes))
}

fn index_targets<'a>(data: &'a Data, file: &InputArray) -> Result<Targets<'a>> {
    match data {
        Data::I32(values) => Ok(values.into()),
        Data::I64(values) => Ok(values.into()),
        Data::Floats(_) => Err(Failure::input(format!(
            "{}: holds {}; targets are class indices, integers",
            file.spec(),
            file.dtype
        ))),
    }
}

/// The file of class weights, if there is one, with a weight for each class.
fn open_weights(args: &CrossEntropyArgs, classes: usize) -> Result<Option<InputArray>> {
    let Some(ClassWeights::File(spec)) = &args.class_weights else { return Ok(None) };
    let file = InputArray::open(spec)?;
    if file.shape == [classes as u64] {
        return Ok(Some(file));
    }
    let found = file.shown_shape();
    Err(Failure::input(format!("{spec}: has the shape {found}, there are {classes} classes")))
}

/// The upstream gradient's file, if it is one, with the shape of the loss.
fn open_upstream(args: &CrossEntropyArgs, targets: &InputArray) -> Result<Option<InputArray>> {
    let UpstreamArg::File(spec) = &args.upstream else { return Ok(None) };
    let file = InputArray::open(spec)?;
    let wanted: &[u64] = match Reduction::from(args.reduction) {
        Reduction::None => &targets.shape,
        _ => &[],
    };
    if file.shape == wanted {
        return Ok(Some(file));
    }
    let (found, wanted) = (file.shown_shape(), crate::files::shown(wanted));
    Err(Failure::input(format!("{spec}: has the shape {found}, the loss has {wanted}")))
}

fn upstream_of<'a>(args: &CrossEntropyArgs, data: Option<&'a Array>) -> Upstream<'a> {
    match (&args.upstream, data) {
        (UpstreamArg::Number(number), _) => Upstream::Scalar(*number),
        (_, Some(data)) if Reduction::from(args.reduction) == Reduction::None => {
            Upstream::Each(data.values())
        }
        (_, data) => Upstream::Scalar(data.map_or(1.0, |data| data.to_f64()[0])),
    }
}

/// The file that an error of the library is about.
fn blame(error: &Error, args: &CrossEntropyArgs) -> Failure {
    let file: &InputSpec = match error {
        Error::TargetOutOfRange { .. } => &args.targets,
        _ => &args.logits,
    };
    Failure::of(error, file)
}

fn scalar_array(loss: f64, device: &Device) -> Array {
    if device.info().kind == DeviceKind::Reference {
        Array::F64(vec![loss])
    } else {
        Array::F32(vec![loss as f32])
    }
}

fn heading(
    args: &CrossEntropyArgs,
    loss: &Loss,
    kept: u64,
    rows: usize,
    classes: usize,
    device: &Device,
) -> String {
    let reduction = Reduction::from(args.reduction);
    let over = format!("{kept} of {rows} rows, {classes} classes");
    match loss.reduced() {
        Some(loss) => format!("{reduction} loss {} over {over}", shortest(loss, device)),
        None => format!("losses of {over}"),
    }
}
