//! The figures of a run.

use serde::Serialize;
use surprisal::Device;

use crate::bench::case::{Case, Operation, Suite};
use crate::bench::measure::{Clock, Samples, Who, median};
use crate::bench::verdict::{Win, wins};
use crate::error::{Failure, Result};

/// The JSON object of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    version: &'static str,
    suite: &'static str,
    pub(crate) devices: Vec<DeviceReport>,
    pub(crate) rows: Vec<Row>,
    /// From how many rows on the GPU is faster than the CPU path.
    pub(crate) gpu_wins: Vec<Win>,
    pub(crate) skipped: Vec<Skipped>,
}

#[derive(Debug, Serialize)]
pub(crate) struct DeviceReport {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) backend: String,
    pub(crate) is_software_driver: bool,
}

/// A case that the GPU has no room for.
#[derive(Debug, Serialize)]
pub(crate) struct Skipped {
    pub(crate) case: String,
    pub(crate) reason: String,
}

/// One figure, with what it is of.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// An operation; or `copy` or `read`, of the matrix of one.
    what: &'static str,
    op: &'static str,
    dtype: String,
    rows: usize,
    classes: usize,
    device: &'static str,
    data: &'static str,
    pub(crate) clock: &'static str,
    /// The median over the rounds.
    pub(crate) seconds: f64,
    /// Bytes that have to be moved at least.
    bytes: usize,
    pub(crate) gigabytes_per_second: f64,
    /// The median over the rounds of the bandwidth over that of the copy in the same round.
    pub(crate) share_of_copy: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) encode_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stages: Option<Stages>,
    #[serde(skip)]
    pub(crate) case: Case,
    #[serde(skip)]
    pub(crate) who: Who,
}

/// Seconds of each stage.
#[derive(Debug, Serialize)]
struct Stages {
    upload: f64,
    compute: f64,
    download: f64,
}

impl Report {
    pub(crate) fn new(suite: Suite, cpu: &Device, other: Option<&Device>) -> Self {
        let devices = [Some(cpu), other].into_iter().flatten().map(|device| {
            let info = device.info();
            DeviceReport {
                kind: info.kind.to_string(),
                name: info.name,
                backend: info.backend,
                is_software_driver: device.as_gpu().is_some_and(|gpu| gpu.caps().software),
            }
        });
        Self {
            version: env!("CARGO_PKG_VERSION"),
            suite: suite.name(),
            devices: devices.collect(),
            rows: Vec::new(),
            gpu_wins: Vec::new(),
            skipped: Vec::new(),
        }
    }

    pub(crate) fn skip(&mut self, case: Case, reason: &surprisal::Error) {
        self.skipped.push(Skipped { case: case.to_string(), reason: reason.to_string() });
    }

    /// What follows from the rows.
    pub(crate) fn conclude(&mut self) {
        self.gpu_wins = wins(&self.rows);
    }

    pub(crate) fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).map(|text| text + "\n").map_err(Failure::run)
    }

    pub(crate) fn row(&self, case: Case, who: Who) -> Option<&Row> {
        self.rows.iter().find(|row| row.case == case && row.who == who)
    }
}

impl Who {
    fn device(self) -> &'static str {
        match self {
            Self::Cpu | Self::HostCopy | Self::HostRead => "cpu",
            Self::Reference => "reference",
            Self::Resident | Self::HostToHost | Self::GpuCopy => "gpu",
        }
    }

    /// The copy that it is compared with.
    fn copy(self) -> Self {
        if self.device() == "gpu" { Self::GpuCopy } else { Self::HostCopy }
    }

    /// How often it has to move the matrix.
    fn passes(self, operation: Operation) -> usize {
        match self {
            Self::HostCopy | Self::GpuCopy => 2,
            Self::HostRead => 1,
            _ => operation.passes(),
        }
    }
}

impl Row {
    /// A row for everybody who was timed on a case.
    pub(crate) fn all(case: Case, samples: &[Samples]) -> Vec<Self> {
        // The copy and what is compared with it are to go by one clock.
        let on_gpu = |it: &&Samples| matches!(it.who, Who::Resident | Who::GpuCopy);
        let by_device = samples.iter().filter(on_gpu).all(Samples::has_device_clock);
        let clock = if by_device { Clock::Device } else { Clock::Wall };
        let of = |it: &Samples| {
            let copy = samples.iter().find(|copy| copy.who == it.who.copy())?;
            let times = it.seconds(clock).into_iter().zip(copy.seconds(clock));
            // The copy moves the matrix twice.
            let passes = it.who.passes(case.operation) as f64 / 2.0;
            let share = median(times.map(|(ours, copy)| passes * copy / ours))?;
            Self::new(case, it, clock, share)
        };
        samples.iter().filter_map(of).collect()
    }

    fn new(case: Case, samples: &Samples, clock: Clock, share_of_copy: f64) -> Option<Self> {
        let who = samples.who;
        let bytes = who.passes(case.operation) * case.matrix_bytes();
        let seconds = median(samples.seconds(clock))?;
        let stage = |i: usize| samples.median(|sample| sample.stages.map(|stages| stages[i]));
        let stages = match (stage(0), stage(1), stage(2)) {
            (Some(upload), Some(compute), Some(download)) => {
                Some(Stages { upload, compute, download })
            }
            _ => None,
        };
        Some(Self {
            what: match who {
                Who::HostCopy | Who::GpuCopy => "copy",
                Who::HostRead => "read",
                _ => case.operation.name(),
            },
            op: case.operation.name(),
            dtype: case.dtype.to_string(),
            rows: case.shape.rows,
            classes: case.shape.classes,
            device: who.device(),
            data: if who == Who::HostToHost { "host-to-host" } else { "resident" },
            clock: match samples.clock(clock) {
                Clock::Device => "timestamps",
                Clock::Wall => "wall",
            },
            seconds,
            bytes,
            gigabytes_per_second: 1e-9 * bytes as f64 / seconds,
            share_of_copy,
            encode_seconds: samples.median(|sample| sample.encode).filter(|_| who == Who::Resident),
            stages,
            case,
            who,
        })
    }
}
