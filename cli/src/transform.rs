//! `surprisal softmax`, `log-softmax`, `logsumexp` and `entropy`.

use std::time::Instant;

use surprisal::{
    Array, Device, Entropy, EntropyBackward, EntropyBackwardInput, Error, LogSoftmax, LogSumExp,
    LogitsInput, Matrix, Op, Softmax, Timings, Unit, Upstream,
};

use crate::args::{DeviceArg, EntropyArgs, MemoryLimit, NumberOrFile, TransformArgs};
use crate::device;
use crate::error::{Failure, Result};
use crate::files::{
    InputArray, InputSpec, OutputSpec, Outputs, check_distinct, check_dtype, matrix,
};
use crate::loss::expect_gradient;
use crate::progress::Progress;
use crate::report::{Clock, Report, Work, shortest};
use crate::shapes;
use crate::storage::{returned, stored};
use crate::stream::{self, Context, Files, FromAbove, Mask, Matrices, Place};

pub(crate) fn softmax(args: &TransformArgs) -> Result<()> {
    run(&Softmax, args, &Shape { name: "softmax", tensor: "probs", columns: Columns::Kept }, None)
}

pub(crate) fn log_softmax(args: &TransformArgs) -> Result<()> {
    run(
        &LogSoftmax,
        args,
        &Shape { name: "log-softmax", tensor: "log_probs", columns: Columns::Kept },
        None,
    )
}

pub(crate) fn logsumexp(args: &TransformArgs) -> Result<()> {
    run(
        &LogSumExp,
        args,
        &Shape { name: "logsumexp", tensor: "lse", columns: Columns::Reduced },
        None,
    )
}

pub(crate) fn entropy(args: &EntropyArgs) -> Result<()> {
    let unit = Unit::from(args.unit);
    let name = match unit {
        Unit::Bits => "entropy in bits",
        Unit::Hartleys => "entropy in hartleys",
        _ => "entropy in nats",
    };
    expect_gradient(args.upstream.as_ref(), [("--grad", &args.grad)])?;
    let gradient = Gradient {
        op: EntropyBackward::new().with_unit(unit),
        upstream: args.upstream.as_ref(),
        file: &args.grad,
    };
    run(
        &Entropy::new().with_unit(unit),
        &args.transform,
        &Shape { name, tensor: "entropy", columns: Columns::Reduced },
        Some(&gradient),
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

/// The gradient of an entropy, which is not asked for if there is no file.
struct Gradient<'a> {
    op: EntropyBackward,
    upstream: Option<&'a NumberOrFile>,
    file: &'a Option<OutputSpec>,
}

impl Gradient<'_> {
    /// The upstream gradient of each row.
    fn of_rows(&self, logits: &InputArray, progress: &Progress) -> Result<Array> {
        let rows = logits.rows_and_columns().0;
        Ok(match self.upstream {
            None => Array::F32(vec![1.0; rows]),
            Some(NumberOrFile::Number(number)) => Array::F64(vec![*number; rows]),
            Some(NumberOrFile::File(spec)) => {
                let mut file = InputArray::open(spec)?;
                shapes::expect_by_row(&file, logits)?;
                file.read_floats(progress)?
            }
        })
    }
}

fn run<O>(
    op: &O,
    args: &TransformArgs,
    shape: &Shape,
    gradient: Option<&Gradient<'_>>,
) -> Result<()>
where
    O: for<'a> Op<Input<'a> = LogitsInput<'a>, Output = Array>,
{
    let mut clock = Clock::start();
    let gradient = gradient.filter(|gradient| gradient.file.is_some());
    let grad = gradient.map(|gradient| ("--grad", gradient.file));
    let outputs = args.common.outputs(grad.as_slice());
    let upstream = gradient.and_then(|gradient| gradient.upstream?.file());
    let mask = args.mask.as_ref();
    check_distinct(
        &outputs,
        &[Some(&args.logits), upstream, mask].into_iter().flatten().collect::<Vec<_>>(),
    )?;
    let mut logits = InputArray::open(&args.logits)?;
    let (rows, classes) = logits.rows_and_classes()?;
    let kept = shape.columns == Columns::Kept;
    // What the reference returns is f64.
    if args.common.device != DeviceArg::Reference {
        let like_logits = if kept { "--out" } else { "--grad" };
        check_dtype(&outputs, like_logits, logits.dtype)?;
    }
    let progress = Progress::new(args.common.quiet.into());
    let started = Instant::now();
    let mask = mask.map(|spec| read_mask(spec, &logits, &progress)).transpose()?;
    let dentropy = gradient.map(|gradient| gradient.of_rows(&logits, &progress)).transpose()?;
    clock.read = started.elapsed();
    let gradient = gradient.map(|gradient| &gradient.op).zip(dentropy.as_ref());
    let (files, device) = (Outputs::open(&outputs)?, device::open(&args.common)?);

    let asked = args.common.dtype;
    let leading = logits.leading().to_vec();
    let (dtype, out_shape) = (logits.dtype, if kept { logits.shape.clone() } else { leading });
    let out = Out { place: ("--out", shape.tensor, &out_shape), kept };
    let limit = args.common.memory_limit.as_ref().filter(|_| !logits.is_empty());
    let mut job = Job { args, mask: mask.as_deref(), device, files, progress, clock };
    let (sum, timings) = match limit {
        Some(limit) => job.in_windows(op, logits, &out, (gradient, limit))?,
        None => job.at_once(op, &mut logits, &out, gradient)?,
    };
    let Job { mask, device, mut files, progress, mut clock, .. } = job;
    let started = Instant::now();
    files.complete()?;
    progress.finish();
    clock.write += started.elapsed();

    let read = (dtype, (rows * classes) as u64);
    let moved = if kept || gradient.is_some() { vec![read, read] } else { vec![read] };
    let work = Work { rows, classes, moved, asked };
    let counted = stream::kept(mask, rows);
    let of_rows = if mask.is_some() { format!("{counted} of {rows}") } else { rows.to_string() };
    let mut heading = format!("{} of {of_rows} rows, {classes} classes", shape.name);
    if !kept && counted > 0 {
        let mean = sum / counted as f64;
        heading += &format!(": {} on average", shortest(mean, &device));
    }
    let mut report = Report::new(&work, &device, heading);
    for (option, spec) in outputs {
        report.wrote(if option == "--grad" { "gradient" } else { shape.name }, spec);
    }
    files.publish(|| report.print(&args.common, &clock, &timings))
}

/// Where a result goes, and whether it is as large as the logits.
struct Out<'a> {
    place: Place<'a>,
    kept: bool,
}

/// A run whose files are open.
struct Job<'a> {
    args: &'a TransformArgs,
    /// Which rows count.
    mask: Option<&'a [bool]>,
    device: Device,
    files: Outputs,
    progress: Progress,
    clock: Clock,
}

impl Job<'_> {
    fn blame(&self, error: &Error) -> Failure {
        Failure::of(error, &self.args.logits)
    }

    /// Window by window, and once more for the gradient. Returns the sum of what the rows come to.
    fn in_windows<O>(
        &mut self,
        op: &O,
        logits: InputArray,
        out: &Out<'_>,
        (gradient, limit): (Option<(&EntropyBackward, &Array)>, &MemoryLimit),
    ) -> Result<(f64, Timings)>
    where
        O: for<'a> Op<Input<'a> = LogitsInput<'a>, Output = Array>,
    {
        let Self { args, mask, device, files, progress, clock } = self;
        let mask = Mask::rows(*mask);
        logits.expect_floats()?;
        // The gradient's sweep reads them again.
        let mut logits = if gradient.is_some() { logits.rereadable()? } else { logits };
        let shape = logits.shape.clone();
        let blame = |error: &Error| Failure::of(error, &args.logits);
        let asked = args.common.dtype;
        let resident = gradient.map_or(0, |(_, dentropy)| dentropy.as_bytes().len() as u64);
        let mut context = Context { device, outputs: files, progress, clock, limit, asked };
        let (matrix, each) = (out.kept.then_some(out.place), (!out.kept).then_some(out.place));
        let matrices = std::slice::from_mut(&mut logits);
        let of_rows = Files { mask, resident, matrix, each, ..Files::of(matrices) };
        let streamed = context.run(op, of_rows, |window| window.all[0].into(), &blame)?;
        let mut timings = streamed.timings;
        if let Some((op, dentropy)) = gradient {
            let place = ("--grad", "dlogits", &shape[..]);
            let (upstream, matrix) = (FromAbove::Each(dentropy), Some(place));
            let matrices = std::slice::from_mut(&mut logits);
            let again = Files { upstream, mask, resident, matrix, ..Files::of(matrices) };
            add(&mut timings, &context.run(op, again, window_backward, &blame)?.timings);
        }
        Ok((streamed.sum, timings))
    }

    /// The same of a batch in memory.
    fn at_once<O>(
        &mut self,
        op: &O,
        logits: &mut InputArray,
        out: &Out<'_>,
        gradient: Option<(&EntropyBackward, &Array)>,
    ) -> Result<(f64, Timings)>
    where
        O: for<'a> Op<Input<'a> = LogitsInput<'a>, Output = Array>,
    {
        let (asked, dtype) = (self.args.common.dtype, logits.dtype);
        let started = Instant::now();
        let data = stored(logits.read_floats(&self.progress)?, asked);
        self.clock.read += started.elapsed();
        self.progress.start("computing", 0);
        let logits = &*logits;
        let mut input = LogitsInput::from(matrix(logits, &data)?);
        input.mask = self.mask;
        let result = self.device.run_timed(op, input);
        let (output, mut timings) = result.map_err(|error| self.blame(&error))?;
        let started = Instant::now();
        let output = if out.kept { returned(output, dtype, asked, &self.device) } else { output };
        let (option, tensor, shape) = out.place;
        self.files.write(option, tensor, &output, shape, &self.progress)?;
        self.clock.write = started.elapsed();
        if let Some((op, dentropy)) = gradient {
            let upstream = Upstream::Each(dentropy.values());
            let mut input = entropy_backward(matrix(logits, &data)?, upstream);
            input.mask = self.mask;
            let result = self.device.run_timed(op, input);
            let (dlogits, more) = result.map_err(|error| self.blame(&error))?;
            add(&mut timings, &more);
            let started = Instant::now();
            let dlogits = returned(dlogits, dtype, asked, &self.device);
            self.files.write("--grad", "dlogits", &dlogits, &logits.shape, &self.progress)?;
            self.clock.write += started.elapsed();
        }
        let sum = if out.kept { 0.0 } else { output.to_f64().iter().sum() };
        Ok((sum, timings))
    }
}

fn window_backward<'w>(window: &'w Matrices<'w>) -> EntropyBackwardInput<'w> {
    entropy_backward(window.all[0], window.upstream)
}

/// Which rows count.
fn read_mask(spec: &InputSpec, logits: &InputArray, progress: &Progress) -> Result<Vec<bool>> {
    let mut file = InputArray::open(spec)?;
    shapes::expect_by_row(&file, logits)?;
    file.read_mask(progress)
}

/// With a number for each row.
fn entropy_backward<'a>(logits: Matrix<'a>, upstream: Upstream<'a>) -> EntropyBackwardInput<'a> {
    let dentropy = match upstream {
        Upstream::Each(each) => each,
        _ => (&[0.0f32; 0]).into(),
    };
    EntropyBackwardInput::new(logits, dentropy)
}

fn add(timings: &mut Timings, more: &Timings) {
    timings.upload += more.upload;
    timings.compute += more.compute;
    timings.download += more.download;
}
