//! What the commands of all losses have in common: they open their inputs and outputs, read,
//! compute, write and report.

mod cross_entropy;
mod divergence;
mod elementwise;
mod focal;
mod linear;
mod stream;

use std::time::Instant;

use surprisal::{
    Array, Device, DeviceKind, Error, Loss, Metrics, Op, Reduction, Timings, Unit, Upstream,
};

use crate::args::{DeviceArg, LossArgs, NumberOrFile};
use crate::device;
use crate::error::{Failure, Result};
use crate::files::{
    Data, FileDtype, InputArray, InputSpec, OutputSpec, Outputs, check_distinct, check_dtype,
};
use crate::progress::Progress;
use crate::report::{Clock, MetricsReport, Report, Work, exact, number, shortest};
use crate::shapes;
use crate::storage::{returned, stored};

pub(crate) use cross_entropy::run as cross_entropy;
pub(crate) use divergence::{js_divergence, kl_divergence};
pub(crate) use elementwise::{binary_cross_entropy, elementwise};
pub(crate) use focal::run as focal;
pub(crate) use linear::run as linear_cross_entropy;

/// The files of a run, by name only.
struct Start<'a> {
    args: &'a LossArgs,
    /// What is read, by what the library calls it.
    inputs: Vec<(&'static str, &'a InputSpec)>,
    outputs: Vec<(&'static str, &'a OutputSpec)>,
    clock: Clock,
}

impl<'a> Start<'a> {
    /// `inputs` are the files that are read beside the upstream gradient; the first is the one that
    /// the gradient is with respect to.
    fn new<const N: usize>(
        args: &'a LossArgs,
        inputs: [(&'static str, Option<&'a InputSpec>); N],
    ) -> Result<Self> {
        Self::with_outputs(args, inputs, &[])
    }

    /// With gradients that are written beside that one.
    fn with_outputs<const N: usize>(
        args: &'a LossArgs,
        inputs: [(&'static str, Option<&'a InputSpec>); N],
        more: &[(&'static str, &'a Option<OutputSpec>)],
    ) -> Result<Self> {
        let clock = Clock::start();
        let own = [("--grad", &args.grad), ("--lse", &args.lse)];
        let outputs = args.common.outputs(&[&own[..], more].concat());
        let gradients = [("--grad", &args.grad)].into_iter().chain(more.iter().copied());
        expect_gradient(args.upstream.as_ref(), gradients)?;
        let inputs: Vec<_> = inputs
            .into_iter()
            .chain([
                ("upstream", args.upstream.as_ref().and_then(NumberOrFile::file)),
                ("mask", args.mask.as_ref()),
            ])
            .filter_map(|(what, spec)| spec.map(|spec| (what, spec)))
            .collect();
        let specs: Vec<_> = inputs.iter().map(|(_, spec)| *spec).collect();
        check_distinct(&outputs, &specs)?;
        Ok(Self { args, inputs, outputs, clock })
    }

    /// Fails if the log-sum-exp is asked for, which this loss does not have.
    fn without_lse(self, reason: &str) -> Result<Self> {
        match self.args.lse {
            Some(_) => Err(Failure::input(format!("--lse: {reason}"))),
            None => Ok(self),
        }
    }

    /// Fails if a gradient in a file's dtype cannot be written to the file of an option. What the
    /// reference returns is f64.
    fn check_dtype(&self, option: &str, dtype: FileDtype) -> Result<()> {
        match self.args.common.device {
            DeviceArg::Reference => Ok(()),
            _ => check_dtype(&self.outputs, option, dtype),
        }
    }

    /// Opens everything that the run needs: when this succeeds, the options and the files fit
    /// together. The gradient is with respect to `input`; `others` are the matrices that are read
    /// beside it.
    fn open(
        mut self,
        input: &InputArray,
        others: &[&InputArray],
        losses: &Losses,
    ) -> Result<Job<'a>> {
        let args = self.args;
        let (rows, classes) = input.rows_and_columns();
        let reduction = Reduction::from(args.reduction);
        self.check_dtype("--grad", input.dtype)?;
        let files = Outputs::open(&self.outputs)?;
        let progress = Progress::new(args.common.quiet.into());
        let started = Instant::now();
        let upstream = match &args.upstream {
            None => One(1.0),
            Some(NumberOrFile::Number(number)) => One(*number),
            Some(NumberOrFile::File(spec)) => {
                let mut file = InputArray::open(spec)?;
                match losses {
                    _ if reduction != Reduction::None => shapes::expect_number(&file, input),
                    Losses::OfRows(_) => shapes::expect_by_row(&file, input),
                    Losses::OfElements => shapes::expect_same(&file, input),
                }?;
                let is_like_input = reduction == Reduction::None && file.len() == input.len();
                if is_like_input && args.common.memory_limit.is_some() && !file.is_empty() {
                    file.expect_floats()?;
                    Later(file)
                } else {
                    let data = file.read_floats(&progress)?;
                    if reduction == Reduction::None { Each(data) } else { One(data.to_f64()[0]) }
                }
            }
        };
        let mask = args.mask.as_ref().map(|spec| open_mask(spec, input, losses)).transpose()?;
        self.clock.read = started.elapsed();
        let device = device::open(&args.common)?;
        let size = |file: &InputArray| (file.dtype, file.len() as u64);
        let mut moved = vec![size(input)];
        moved.extend(others.iter().map(|other| size(other)));
        if args.grad.is_some() {
            moved.push(size(input));
        }
        let work = Work { rows, classes, moved, asked: args.common.dtype };
        let shape = input.shape.clone();
        let each = match losses {
            Losses::OfRows(each) => each.clone(),
            Losses::OfElements => shape.clone(),
        };
        Ok(Job { start: self, work, shape, each, upstream, mask, device, files, progress })
    }
}

/// Fails if there is an upstream gradient, and no gradient that it would change.
pub(crate) fn expect_gradient<'a>(
    upstream: Option<&NumberOrFile>,
    gradients: impl IntoIterator<Item = (&'static str, &'a Option<OutputSpec>)>,
) -> Result<()> {
    let (options, written): (Vec<_>, Vec<_>) = gradients.into_iter().unzip();
    if upstream.is_none() || written.iter().any(|spec| spec.is_some()) {
        return Ok(());
    }
    let options = options.join(" or ");
    let reason = "is the gradient of the loss, and changes gradients alone; none is asked for";
    Err(Failure::input(format!("--upstream: {reason}, by {options}")))
}

/// What has losses of its own.
enum Losses {
    /// Rows; where they are not reduced they are written in this shape.
    OfRows(Vec<u64>),
    /// Elements, in the shape of the input.
    OfElements,
}

/// Opens a file that has to have one number for each column or class of a matrix.
fn open_vector(
    spec: Option<&InputSpec>,
    matrix: &InputArray,
    of: (usize, &str),
) -> Result<Option<InputArray>> {
    let Some(spec) = spec else { return Ok(None) };
    let file = InputArray::open(spec)?;
    shapes::expect_vector(&file, matrix, of)?;
    Ok(Some(file))
}

/// Opens a file that says which rows count, or which elements.
fn open_mask(spec: &InputSpec, input: &InputArray, losses: &Losses) -> Result<InputArray> {
    let file = InputArray::open(spec)?;
    match losses {
        Losses::OfRows(_) => shapes::expect_by_row(&file, input),
        Losses::OfElements => shapes::expect_same(&file, input),
    }?;
    file.expect_mask()?;
    Ok(file)
}

/// The upstream gradient.
enum UpstreamData {
    One(f64),
    Each(Array),
    /// As large as the input, and streamed like it.
    Later(InputArray),
}
use UpstreamData::{Each, Later, One};

/// A run whose files are open.
struct Job<'a> {
    start: Start<'a>,
    work: Work,
    /// The shape of the gradient.
    shape: Vec<u64>,
    /// The shape of losses that are not reduced.
    each: Vec<u64>,
    upstream: UpstreamData,
    /// What counts, until it is read.
    mask: Option<InputArray>,
    device: Device,
    files: Outputs,
    progress: Progress,
}

impl Job<'_> {
    /// Targets of whatever kind; probabilities as the device stores them.
    fn read_targets(&mut self, file: &mut InputArray, mask: Option<&[bool]>) -> Result<Data> {
        Ok(match self.timed(|progress| file.read_targets(mask, progress))? {
            Data::Floats(array) => Data::Floats(self.stored(array)),
            indices => indices,
        })
    }

    /// The matrix of a file, as the device stores it.
    fn read_matrix(&mut self, file: &mut InputArray) -> Result<Array> {
        let array = self.read_floats(file)?;
        Ok(self.stored(array))
    }

    fn stored(&self, array: Array) -> Array {
        stored(array, self.work.asked)
    }

    /// The elements of a file that has to hold floats.
    fn read_floats(&mut self, file: &mut InputArray) -> Result<Array> {
        self.timed(|progress| file.read_floats(progress))
    }

    /// The matrix of a file, be its elements integers.
    fn read_numbers(&mut self, file: &mut InputArray) -> Result<Array> {
        let array = self.timed(|progress| file.read_numbers(progress))?;
        Ok(self.stored(array))
    }

    /// The floats of a file that may not be there.
    fn read_optional(&mut self, file: Option<InputArray>) -> Result<Option<Array>> {
        file.map(|mut file| self.read_floats(&mut file)).transpose()
    }

    /// Which rows count, if that was said, or which elements.
    fn read_mask(&mut self) -> Result<Option<Vec<bool>>> {
        let Some(mut file) = self.mask.take() else { return Ok(None) };
        self.timed(|progress| file.read_mask(progress)).map(Some)
    }

    fn timed<T>(&mut self, read: impl FnOnce(&Progress) -> Result<T>) -> Result<T> {
        let started = Instant::now();
        let data = read(&self.progress);
        self.start.clock.read += started.elapsed();
        data
    }

    fn upstream(&self) -> Upstream<'_> {
        match &self.upstream {
            One(number) => Upstream::Scalar(*number),
            Each(data) => Upstream::Each(data.values()),
            // A batch that is streamed asks for it window by window.
            Later(_) => Upstream::default(),
        }
    }

    fn compute<'b, O: Op>(
        &'b self,
        op: &'b O,
        input: O::Input<'b>,
    ) -> Result<(O::Output, Timings)> {
        self.progress.start("computing", 0);
        self.device.run_timed(op, input).map_err(|error| self.blame(&error))
    }

    /// The file that an error of the library is about, or else the option.
    fn blame(&self, error: &Error) -> Failure {
        let input =
            self.start.inputs.first().map_or("the input".to_owned(), |(_, spec)| spec.to_string());
        let file = |what: &str| {
            let found = self.start.inputs.iter().find(|(name, _)| *name == what);
            found.map(|(_, spec)| spec.to_string())
        };
        let place = |what: &str| match what {
            "matrix" => input.clone(),
            // An option that may be a file: either may be at fault.
            "class_weights" | "pos_weight" | "alpha" => {
                [option(what)].into_iter().chain(file(what)).collect::<Vec<_>>().join(" ")
            }
            "scratch_bytes" => "--memory-limit".to_owned(),
            what => file(what).unwrap_or_else(|| option(what)),
        };
        match error {
            Error::TargetOutOfRange { .. } => {
                Failure::of(error, file("targets").unwrap_or_else(|| input.clone()))
            }
            Error::InvalidInput { what, reason } => {
                Failure::input(format!("{}: {reason}", place(what)))
            }
            Error::ShapeMismatch { what, expected, found } => {
                Failure::input(format!("{}: expected {expected}, found {found}", place(what)))
            }
            error => Failure::of(error, input),
        }
    }

    fn write_loss(&mut self, loss: &Loss) -> Result<()> {
        let scalar;
        let (loss, loss_shape): (&Array, &[u64]) = match loss {
            Loss::Each(losses) => (losses, &self.each),
            loss => {
                scalar = scalar_array(loss.reduced().unwrap_or(f64::NAN), &self.device);
                (&scalar, &[])
            }
        };
        self.files.write("--out", "loss", loss, loss_shape, &self.progress)
    }

    /// Writes what was asked for, and reports.
    fn finish(mut self, mut outcome: Outcome, timings: &Timings) -> Result<()> {
        let started = Instant::now();
        let (like, asked) = (self.work.moved[0].0, self.work.asked);
        let gradient = outcome.gradient.1.take();
        outcome.gradient.1 = gradient.map(|array| returned(array, like, asked, &self.device));
        self.write_loss(&outcome.loss)?;
        if let Some(lse) = &outcome.lse {
            self.files.write("--lse", "lse", lse, &self.each, &self.progress)?;
        }
        if let (name, Some(gradient)) = &outcome.gradient {
            self.files.write("--grad", name, gradient, &self.shape, &self.progress)?;
        }
        self.conclude(&outcome, timings, started)
    }

    /// What is written is brought to the disk, told, and given its names.
    fn conclude(mut self, outcome: &Outcome, timings: &Timings, started: Instant) -> Result<()> {
        self.files.complete()?;
        self.progress.finish();
        self.start.clock.write += started.elapsed();
        let (report, files) = (self.report(outcome), std::mem::take(&mut self.files));
        let Start { args, clock, .. } = &self.start;
        files.publish(|| report.print(&args.common, clock, timings))
    }

    fn report(&self, outcome: &Outcome) -> Report {
        let device = &self.device;
        let mut report = Report::new(&self.work, device, self.heading(outcome));
        let loss = outcome.loss.reduced().map_or(serde_json::Value::Null, |x| number(x, device));
        report.loss = Some(loss);
        report.kept_rows = Some(outcome.kept_rows);
        report.total_weight = Some(exact(outcome.total_weight));
        report.metrics = outcome.metrics.as_ref().map(|m| MetricsReport::new(m, outcome.kept_rows));
        for (option, spec) in &self.start.outputs {
            let what = match *option {
                "--out" => "loss",
                "--lse" => "log-sum-exp",
                "--grad-weight" => "gradient of the weight",
                "--grad-bias" => "gradient of the bias",
                _ => "gradient",
            };
            report.wrote(what, spec);
        }
        report
    }

    fn heading(&self, outcome: &Outcome) -> String {
        let reduction = Reduction::from(self.start.args.reduction);
        let unit = match Unit::from(self.start.args.unit) {
            Unit::Nats => String::new(),
            unit => format!(" {unit}"),
        };
        let over = &outcome.over;
        match outcome.loss.reduced() {
            Some(loss) => {
                format!("{reduction} loss {}{unit} over {over}", shortest(loss, &self.device))
            }
            None if unit.is_empty() => format!("losses of {over}"),
            None => format!("losses in{unit} of {over}"),
        }
    }
}

/// An option, from what the library calls it.
fn option(what: &str) -> String {
    format!("--{}", what.replace('_', "-"))
}

fn scalar_array(loss: f64, device: &Device) -> Array {
    if device.info().kind == DeviceKind::Reference {
        Array::F64(vec![loss])
    } else {
        Array::F32(vec![loss as f32])
    }
}

/// What a loss returned, whichever it is.
struct Outcome {
    loss: Loss,
    lse: Option<Array>,
    /// What its tensor is called, and its elements if they were asked for.
    gradient: (&'static str, Option<Array>),
    metrics: Option<Metrics>,
    kept_rows: u64,
    /// What a mean divides by.
    total_weight: f64,
    /// What the losses are of.
    over: String,
}
