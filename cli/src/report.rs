//! What a run says on stdout.

use std::io::Write as _;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;
use surprisal::{Device, DeviceKind, Metrics, Timings};

use crate::args::{CommonArgs, DtypeArg};
use crate::error::{Failure, Result};
use crate::files::{FileDtype, OutputSpec};
use crate::storage;

/// The JSON object of a run; the fields are the command's contract.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) loss: Option<Value>,
    pub(crate) rows: usize,
    pub(crate) classes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kept_rows: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) total_weight: Option<Value>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(crate) metrics: Option<MetricsReport>,
    device: DeviceReport,
    dtype: String,
    /// What everything is computed in, whatever matrices are stored as.
    computed_in: &'static str,
    seconds: Seconds,
    bytes_moved: u64,
    /// What to print where a person reads: a heading and the files written.
    #[serde(skip)]
    heading: String,
    #[serde(skip)]
    files: Vec<String>,
    /// What f64 files are rounded to, where there are some and the device has no f64.
    #[serde(skip)]
    rounded_to: Option<String>,
    /// Whether stdout has an array.
    #[serde(skip)]
    to_stderr: bool,
}

/// What --metrics adds.
#[derive(Debug, Serialize)]
pub(crate) struct MetricsReport {
    correct: u64,
    accuracy: Value,
    perplexity: Value,
    #[serde(skip)]
    line: String,
}

impl MetricsReport {
    pub(crate) fn new(metrics: &Metrics, kept_rows: u64) -> Self {
        let &Metrics { correct, accuracy, perplexity, .. } = metrics;
        // As f32: no device but the reference has more digits, and a person wants fewer.
        let (shown, perplexed) = (accuracy as f32, perplexity as f32);
        let line =
            format!("accuracy {shown:?} ({correct} of {kept_rows} rows), perplexity {perplexed:?}");
        Self { correct, accuracy: exact(accuracy), perplexity: exact(perplexity), line }
    }
}

#[derive(Debug, Serialize)]
struct DeviceReport {
    kind: String,
    name: String,
    backend: String,
}

#[derive(Debug, Default, Serialize)]
struct Seconds {
    read: f64,
    upload: f64,
    compute: f64,
    download: f64,
    write: f64,
    total: f64,
}

/// The wall clock of a run, and the stages outside the library.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    start: Instant,
    pub(crate) read: Duration,
    pub(crate) write: Duration,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now(), read: Duration::ZERO, write: Duration::ZERO }
    }
}

/// What was computed, for the report.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) rows: usize,
    pub(crate) classes: usize,
    /// The dtypes and sizes of the files of all matrices that have to be read or written, each time
    /// that they have to; the input's first.
    pub(crate) moved: Vec<(FileDtype, u64)>,
    /// How they are to be stored.
    pub(crate) asked: Option<DtypeArg>,
}

impl Report {
    pub(crate) fn new(work: &Work, device: &Device, heading: String) -> Self {
        let info = device.info();
        let dtypes: Vec<_> = work.moved.iter().map(|(dtype, _)| *dtype).collect();
        let stored = storage::on_device(device, &dtypes, work.asked);
        let is_reference = info.kind == DeviceKind::Reference;
        let wide = dtypes.iter().position(|dtype| *dtype == FileDtype::F64 && !is_reference);
        let bytes = stored.iter().zip(&work.moved).map(|(as_, (_, len))| as_.size() as u64 * len);
        Self {
            loss: None,
            rows: work.rows,
            classes: work.classes,
            kept_rows: None,
            total_weight: None,
            metrics: None,
            device: DeviceReport {
                kind: info.kind.to_string(),
                name: info.name,
                backend: info.backend,
            },
            dtype: stored[0].to_string(),
            computed_in: if is_reference { "f64" } else { "f32" },
            seconds: Seconds::default(),
            bytes_moved: bytes.sum(),
            heading,
            files: Vec::new(),
            rounded_to: wide.map(|i| stored[i].to_string()),
            to_stderr: false,
        }
    }

    pub(crate) fn wrote(&mut self, what: &str, spec: &OutputSpec) {
        self.to_stderr |= spec.is_stdout();
        let to = match spec.path().display().to_string() {
            stdout if stdout == "-" => "standard output".to_owned(),
            path => path,
        };
        self.files.push(format!("{what} written to {to}"));
    }

    pub(crate) fn print(
        mut self,
        args: &CommonArgs,
        clock: &Clock,
        timings: &Timings,
    ) -> Result<()> {
        self.seconds = Seconds {
            read: clock.read.as_secs_f64(),
            upload: timings.upload.as_secs_f64(),
            compute: timings.compute.as_secs_f64(),
            download: timings.download.as_secs_f64(),
            write: clock.write.as_secs_f64(),
            total: clock.start.elapsed().as_secs_f64(),
        };
        let text = if args.json {
            serde_json::to_string(&self).map_err(Failure::run)? + "\n"
        } else if args.quiet {
            return Ok(());
        } else {
            self.readable()
        };
        if self.to_stderr {
            let failed = |error| Failure::run(format!("cannot write to stderr: {error}"));
            return std::io::stderr().write_all(text.as_bytes()).map_err(failed);
        }
        std::io::stdout().write_all(text.as_bytes()).map_err(Failure::stdout)
    }

    fn readable(&self) -> String {
        let s = &self.seconds;
        let mut text = format!("{}\n", self.heading);
        if let Some(metrics) = &self.metrics {
            text += &format!("{}\n", metrics.line);
        }
        for file in &self.files {
            text += &format!("{file}\n");
        }
        text +=
            &format!("on {}: {}, {}\n", self.device.kind, self.device.name, self.device.backend);
        if let Some(dtype) = &self.rounded_to {
            text += &format!(
                "f64 files were rounded to {dtype} and computed in f32; --device reference computes in f64\n"
            );
        }
        text += &format!(
            "{:.3} s: read {:.3}, upload {:.3}, compute {:.3}, download {:.3}, write {:.3}\n",
            s.total, s.read, s.upload, s.compute, s.download, s.write
        );
        text
    }
}

/// A number for JSON, and a string where JSON has none.
pub(crate) fn exact(value: f64) -> Value {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity".into() } else { "-Infinity".into() };
    }
    value.into()
}

/// [`exact`], as the shortest decimal that reads back as the same f32 (or f64, from the reference).
pub(crate) fn number(value: f64, device: &Device) -> Value {
    exact(shortest(value, device).parse().unwrap_or(value))
}

/// The shortest decimal of a value that was computed in f32, or in f64 by the reference.
pub(crate) fn shortest(value: f64, device: &Device) -> String {
    if device.info().kind == DeviceKind::Reference {
        value.to_string()
    } else {
        (value as f32).to_string()
    }
}
