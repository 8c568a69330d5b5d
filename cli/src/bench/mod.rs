//! `surprisal bench`: how fast this machine's GPU and CPU are, against what copying the same bytes
//! costs on them.

mod case;
mod data;
mod file;
mod gpu;
mod host;
mod measure;
mod picture;
mod report;
mod resident;
mod svg;
mod table;
mod verdict;

use std::cell::RefCell;
use std::io::Write as _;

use half::{bf16, f16};
use indicatif::{ProgressBar, ProgressStyle};
use surprisal::{AdapterChoice, Device, DeviceKind, Dtype, Error};

pub(crate) use case::{Operation, Shape, Suite};

use crate::args::{BenchArgs, DeviceArg};
use crate::bench::case::Case;
use crate::bench::data::{Batch, Number};
use crate::bench::gpu::Stopwatch;
use crate::bench::host::Host;
use crate::bench::measure::{Who, rounds};
use crate::bench::report::{Report, Row};
use crate::bench::resident::{Resident, check_transfer, transfer};
use crate::device::set_threads;
use crate::error::{Failure, Result};
use crate::files::publish;

pub(crate) fn run(args: &BenchArgs) -> Result<()> {
    let [json, plot] =
        file::open([("--json", args.json.as_deref()), ("--plot", args.plot.as_deref())])?;
    set_threads(args.threads)?;
    let bench = Bench { cpu: Device::cpu(), other: open(args)? };
    let stopwatch = match bench.other.as_ref().and_then(Device::as_gpu) {
        Some(gpu) => Some(Stopwatch::new(gpu).map_err(Failure::run)?),
        None => None,
    };
    let cases = cases(args);
    let progress = progress(cases.len());
    let mut report = Report::new(args.suite, &bench.cpu, bench.other.as_ref());
    for case in cases {
        progress.set_message(case.to_string());
        let stopwatch = stopwatch.as_ref();
        match case.dtype {
            Dtype::F16 => bench.measure::<f16>(case, args.suite, stopwatch, &mut report)?,
            Dtype::Bf16 => bench.measure::<bf16>(case, args.suite, stopwatch, &mut report)?,
            _ => bench.measure::<f32>(case, args.suite, stopwatch, &mut report)?,
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    report.conclude();
    let json = json.map(|json| file::written(json, &report.to_json()?)).transpose()?;
    let plot = plot.map(|plot| file::written(plot, &picture::draw(&report))).transpose()?;
    publish([json, plot].into_iter().flatten(), || {
        std::io::stdout().write_all(table::text(&report).as_bytes()).map_err(Failure::stdout)
    })
}

/// What is measured beside the CPU path. `auto` says on stderr what it takes.
fn open(args: &BenchArgs) -> Result<Option<Device>> {
    let say = |what: &str| {
        // Nobody is left to tell if stderr is closed.
        let _ = writeln!(std::io::stderr(), "device: {what}");
    };
    // An adapter that was named and is not there is bad usage, not a failed run.
    let named = |choice| Device::gpu_with(choice).map_err(Failure::input);
    Ok(match (args.device, &args.adapter) {
        (DeviceArg::Cpu | DeviceArg::Reference, Some(_)) => {
            let message = "--adapter chooses a GPU; it goes with --device gpu or auto";
            return Err(Failure::input(message));
        }
        (DeviceArg::Cpu, None) => None,
        (DeviceArg::Reference, None) => Some(Device::reference()),
        (DeviceArg::Gpu, None) => Some(Device::gpu().map_err(Failure::run)?),
        (DeviceArg::Gpu, Some(choice)) => Some(named(choice)?),
        (DeviceArg::Auto, Some(choice)) => {
            Some(named(choice).inspect(|device| say(&device.info().to_string()))?)
        }
        (DeviceArg::Auto, None) => {
            if let Ok(device) = Device::gpu_with(&AdapterChoice::Real) {
                say(&device.info().to_string());
                Some(device)
            } else {
                let cpu = Device::cpu().info();
                say(&format!(
                    "{cpu} (no GPU found; a software driver is measured by --device gpu)"
                ));
                None
            }
        }
    })
}

fn cases(args: &BenchArgs) -> Vec<Case> {
    let or = |given: &[Operation], all: &[Operation]| match given {
        [] => all.to_vec(),
        given => given.to_vec(),
    };
    let operations = or(&args.op, args.suite.operations());
    let dtypes = match args.dtype {
        Some(dtype) => vec![dtype],
        None => args.suite.dtypes().to_vec(),
    };
    let shapes = if args.shape.is_empty() { args.suite.shapes() } else { args.shape.clone() };
    let mut cases = Vec::new();
    for &operation in &operations {
        for &dtype in &dtypes {
            for &shape in &shapes {
                let case = Case { operation, dtype: dtype.into(), shape };
                if !cases.contains(&case) {
                    cases.push(case);
                }
            }
        }
    }
    cases
}

/// It shows on a terminal only.
fn progress(cases: usize) -> ProgressBar {
    let bar = ProgressBar::new(cases as u64);
    // A style that does not parse would only cost the looks.
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos} of {len}: {msg}") {
        bar.set_style(style);
    }
    bar
}

/// Who is compared.
struct Bench {
    cpu: Device,
    other: Option<Device>,
}

impl Bench {
    /// Checks everybody's answer to a case, then times them in turns.
    fn measure<T: Number>(
        &self,
        case: Case,
        suite: Suite,
        stopwatch: Option<&Stopwatch<'_>>,
        report: &mut Report,
    ) -> Result<()> {
        let batch = Batch::<T>::new(case)?;
        let out = RefCell::new(data::vector(case, T::from_f32(f32::NAN))?);
        let host = Host { batch: &batch, out };
        host.check(&self.cpu)?;
        let resident = match stopwatch.map(|stopwatch| Resident::new(stopwatch, &batch)) {
            None => None,
            Some(Ok(resident)) => Some(resident),
            Some(Err(error)) if is_for_lack_of_room(&error) => {
                report.skip(case, &error);
                None
            }
            Some(Err(error)) => return Err(Failure::run(format!("{case}: {error}"))),
        };
        let mut entrants = vec![host.entrant(Who::Cpu, &self.cpu), host.copy(), host.read()];
        if let Some(device) = &self.other
            && device.info().kind == DeviceKind::Reference
        {
            host.check(device)?;
            entrants.push(host.entrant(Who::Reference, device));
        }
        if let (Some(resident), Some(device)) = (&resident, &self.other) {
            resident.check()?;
            check_transfer(device, &batch)?;
            entrants.push(resident.entrant());
            entrants.push(resident.copy_entrant());
            entrants.push(transfer(device, &batch));
        }
        let samples = rounds(&mut entrants, suite.patience())?;
        report.rows.extend(Row::all(case, &samples));
        Ok(())
    }
}

/// Whether a smaller matrix may do.
fn is_for_lack_of_room(error: &Error) -> bool {
    matches!(
        error,
        Error::TooLarge { .. } | Error::DeviceTooSmall { .. } | Error::OutOfMemory { .. }
    )
}
