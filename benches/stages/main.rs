//! Reading a batch from a file, computing its loss and gradient and writing that to another: each
//! stage alone, and all of them at once, as `--memory-limit` has them.
//!
//!     cargo bench --bench stages
//!     cargo bench --bench stages -- --gigabytes 8 --folder /mnt/disk --device gpu
//!
//! The batch is made on the spot. A stage's rate is the batch's bytes in its time. Together they can
//! be as fast as the slowest where they need different things (a disk, a GPU, the cores), and no
//! faster than the cores where they need the same: the first is told by the share of the slowest
//! stage's rate, the second by the share of the cores' time that went into the stages' own work. That
//! is the processor time of reading and writing in the run, and of computing what it takes alone;
//! alone the first two take less, for nothing else uses the memory. A round takes everybody in turn,
//! and a share is the median of the rounds' shares: a disk, or cores that others use too, is now fast
//! and now slow.
//!
//! Options: `--gigabytes N` (2), `--classes N` (32000), `--folder PATH` (that of temporary files),
//! `--window N` (8192, in KiB), `--ring N` (windows under way: 4, on a GPU 5), `--rounds N` (5),
//! `--device cpu|gpu` (both), `--cold` to read from the disk and not from memory, on Linux.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a table is what it is for")]

mod options;
mod output;

use std::error::Error;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::ops::Range;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use options::Options;
use output::Output;
use surprisal::stream::{Batch, Pending, Stages, Streaming, overlap};
use surprisal::{Array, CrossEntropy, CrossEntropyInput, Device, DeviceKind, Matrix, Timings};
use tempfile::TempDir;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// How long something took, by the clock on the wall and by the processor's.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
struct Time {
    wall: f64,
    cpu: f64,
}

impl Time {
    fn of<T>(work: impl FnOnce() -> Result<T>) -> Result<(Self, T)> {
        let (wall, cpu) = (Instant::now(), processor_time());
        let result = work()?;
        let cpu = processor_time().saturating_sub(cpu).as_secs_f64();
        Ok((Self { wall: wall.elapsed().as_secs_f64(), cpu }, result))
    }
}

/// What all threads of this process took together; nothing where nobody tells.
fn processor_time() -> Duration {
    #[cfg(unix)]
    return clock(rustix::time::ClockId::ProcessCPUTime);
    #[cfg(not(unix))]
    Duration::ZERO
}

#[cfg(unix)]
fn clock(clock: rustix::time::ClockId) -> Duration {
    let time = rustix::time::clock_gettime(clock);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// Does some work and adds the processor time that this thread took for it.
fn on_this_thread<T>(time: &mut Duration, work: impl FnOnce() -> T) -> T {
    #[cfg(unix)]
    let now = || clock(rustix::time::ClockId::ThreadCPUTime);
    #[cfg(not(unix))]
    let now = || Duration::ZERO;
    let begin = now();
    let result = work();
    *time += now().saturating_sub(begin);
    result
}

/// A batch in a file.
struct Files {
    folder: TempDir,
    rows: usize,
    classes: usize,
    window_rows: usize,
    targets: Vec<i64>,
    /// A window of it, in memory.
    window: Vec<f32>,
    ring: Option<usize>,
    is_cold: bool,
}

/// What goes round.
struct Window {
    logits: Vec<f32>,
    pending: Option<Pending>,
    gradient: Option<Array>,
}

impl Window {
    /// Of its gradient.
    fn bytes(&self) -> &[u8] {
        self.gradient.as_ref().map_or(&[], Array::as_bytes)
    }
}

impl Files {
    fn new(options: &Options) -> Result<Self> {
        let classes = options.classes;
        let window_rows = ((options.window_kib << 10) / 4 / classes).max(1);
        let windows = (options.bytes / (4 * classes * window_rows)).max(1);
        let rows = windows * window_rows;
        let target = |row| i64::try_from(row * 31 % classes);
        let targets = (0..rows).map(target).collect::<std::result::Result<_, _>>()?;
        let mut state = 1u64;
        let noise = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as f32 / (1u64 << 21) as f32 - 4.0
        };
        let window: Vec<f32> = (0..window_rows * classes).map(noise).collect();
        let folder = tempfile::tempdir_in(&options.folder)?;
        let mut file = File::create(folder.path().join("logits"))?;
        for _ in 0..windows {
            file.write_all(bytemuck::cast_slice(&window))?;
        }
        file.sync_all()?;
        let Options { ring, is_cold, .. } = *options;
        Ok(Self { folder, rows, classes, window_rows, targets, window, ring, is_cold })
    }

    fn bytes(&self) -> f64 {
        4.0 * self.rows as f64 * self.classes as f64
    }

    fn windows(&self) -> impl Iterator<Item = Range<usize>> {
        (0..self.rows).step_by(self.window_rows).map(|first| first..first + self.window_rows)
    }

    fn open(&self) -> Result<File> {
        let file = File::open(self.folder.path().join("logits"))?;
        if self.is_cold {
            #[cfg(target_os = "linux")]
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
            #[cfg(not(target_os = "linux"))]
            return Err("--cold is for Linux".into());
        }
        Ok(file)
    }

    fn create(&self) -> Result<Output> {
        Output::new(File::create(self.folder.path().join("gradient"))?)
    }

    fn remove_output(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.folder.path().join("gradient"))?)
    }

    /// As many windows as go round together: they are not in a cache when their turn comes.
    fn ring(&self, device: DeviceKind) -> Vec<Window> {
        let gradient = || Some(Array::F32(self.window.clone()));
        let logits = || self.window.clone();
        let window = |_| Window { logits: logits(), pending: None, gradient: gradient() };
        let windows = self.ring.unwrap_or(if device == DeviceKind::Gpu { 5 } else { 4 });
        (0..windows).map(window).collect()
    }

    /// A stage on all windows, one after the other.
    fn alone(
        &self,
        ring: &mut [Window],
        mut stage: impl FnMut(Range<usize>, &mut Window) -> Result<()>,
    ) -> Result<()> {
        let len = ring.len();
        self.windows().enumerate().try_for_each(|(i, rows)| stage(rows, &mut ring[i % len]))
    }

    fn read_alone(&self) -> Result<Time> {
        let (mut file, mut ring) = (self.open()?, self.ring(DeviceKind::Cpu));
        let work = || self.alone(&mut ring, |_, window| read(&mut file, &mut window.logits));
        Time::of(work).map(|(time, ())| time)
    }

    fn write_alone(&self) -> Result<Time> {
        let (mut output, mut ring) = (self.create()?, self.ring(DeviceKind::Cpu));
        let (time, ()) = Time::of(|| {
            self.alone(&mut ring, |_, window| output.write(window.bytes()))?;
            output.finish()
        })?;
        self.remove_output()?;
        Ok(time)
    }

    /// How long the device's stages took is told besides.
    fn compute_alone(&self, device: &Device) -> Result<(Time, Timings)> {
        let (op, mut ring) = (op(), self.ring(DeviceKind::Cpu));
        let (time, (_, timings)) = Time::of(|| {
            let mut stream = device.stream(&op, self.batch())?;
            self.alone(&mut ring, |rows, window| {
                self.compute(&mut stream, rows, window)?;
                collect(window)
            })?;
            Ok(pollster::block_on(stream.finish_async())?)
        })?;
        Ok((time, timings))
    }

    /// And how much processor time reading and writing took of it.
    fn together(&self, device: &Device) -> Result<(Time, f64)> {
        let op = op();
        let (mut input, mut output) = (self.open()?, self.create()?);
        let ring = self.ring(device.info().kind);
        let (mut reading, mut writing) = (Duration::ZERO, Duration::ZERO);
        let (time, ()) = Time::of(|| {
            let mut stream = device.stream(&op, self.batch())?;
            let stages = Stages {
                read: |_, window: &mut Window| {
                    on_this_thread(&mut reading, || read(&mut input, &mut window.logits))
                },
                compute: |rows, window: &mut Window| self.compute(&mut stream, rows, window),
                collect: |_, window: &mut Window| collect(window),
                write: |_, window: &mut Window| {
                    on_this_thread(&mut writing, || output.write(window.bytes()))
                },
            };
            overlap(self.rows, self.window_rows, ring, stages)?;
            stream.finish()?;
            output.finish()
        })?;
        self.remove_output()?;
        Ok((time, (reading + writing).as_secs_f64()))
    }

    fn batch(&self) -> Batch<'_> {
        Batch::new(self.rows, self.classes, self.window_rows).with_targets(&self.targets)
    }

    fn compute(
        &self,
        stream: &mut Streaming<'_, CrossEntropy>,
        rows: Range<usize>,
        window: &mut Window,
    ) -> Result<()> {
        let logits = Matrix::new(&window.logits[..], rows.len(), self.classes)?;
        let input = CrossEntropyInput::new(logits, &self.targets[rows]);
        window.pending = Some(stream.begin(input, window.gradient.take())?);
        Ok(())
    }
}

fn collect(window: &mut Window) -> Result<()> {
    if let Some(pending) = window.pending.take() {
        window.gradient = pending.wait()?.matrix;
    }
    Ok(())
}

fn op() -> CrossEntropy {
    CrossEntropy::new().with_gradient()
}

fn read(file: &mut File, logits: &mut [f32]) -> Result<()> {
    Ok(file.read_exact(bytemuck::cast_slice_mut(logits))?)
}

/// Everybody once.
struct Round {
    /// Reading, computing and writing, each alone.
    stages: [Time; 3],
    together: Time,
    /// Processor time of reading and writing, of all together.
    in_files: f64,
    /// The device's parts of computing.
    device: Timings,
}

impl Round {
    fn take(files: &Files, device: &Device) -> Result<Self> {
        let read = files.read_alone()?;
        let (compute, timings) = files.compute_alone(device)?;
        let stages = [read, compute, files.write_alone()?];
        let (together, in_files) = files.together(device)?;
        Ok(Self { stages, together, in_files, device: timings })
    }

    /// What the rate of all together is of the slowest stage's.
    fn share_of_slowest(&self) -> f64 {
        self.stages.iter().map(|time| time.wall).fold(0.0, f64::max) / self.together.wall
    }

    /// What the stages' own work is of so many cores' time.
    fn share_of_cores(&self, cores: f64) -> f64 {
        self.stages.iter().map(|time| time.cpu).sum::<f64>() / (cores * self.together.wall)
    }

    /// The same, with what reading and writing took in the run itself.
    fn share_in_the_run(&self, cores: f64) -> f64 {
        (self.in_files + self.stages[1].cpu) / (cores * self.together.wall)
    }

    /// How much of so many cores' time was used.
    fn busy(&self, cores: f64) -> f64 {
        self.together.cpu / (cores * self.together.wall)
    }
}

fn median(rounds: &[Round], value: impl Fn(&Round) -> f64) -> f64 {
    let mut values: Vec<_> = rounds.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    f64::midpoint(values[(values.len() - 1) / 2], values[values.len() / 2])
}

fn table(files: &Files, device: &Device, rounds: usize) -> Result<()> {
    let rounds: Vec<_> = (0..rounds).map(|_| Round::take(files, device)).collect::<Result<_>>()?;
    println!("\n## {}\n\n| | s | GB/s | processor s |\n|---|---|---|---|", device.info());
    let line = |name: &str, time: &dyn Fn(&Round) -> Time| {
        let (wall, cpu) = (median(&rounds, |r| time(r).wall), median(&rounds, |r| time(r).cpu));
        println!("| {name} | {wall:.2} | {:.2} | {cpu:.2} |", files.bytes() / 1e9 / wall);
    };
    for (stage, name) in ["read", "compute", "write"].into_iter().enumerate() {
        line(name, &|round| round.stages[stage]);
    }
    line("together", &|round| round.together);
    if device.info().kind == DeviceKind::Gpu {
        let seconds = |part: fn(&Timings) -> Duration| {
            median(&rounds, |round| part(&round.device).as_secs_f64())
        };
        println!(
            "\nOf computing, {:.2} s went into copying to the device, {:.2} s into copying back.",
            seconds(|timings| timings.upload),
            seconds(|timings| timings.download)
        );
    }
    let cores = thread::available_parallelism()?.get() as f64;
    println!(
        "\nTogether at {:.0} % of the slowest stage's rate; the stages' own work is {:.0} % of \
         {cores} cores' time ({:.0} % as it takes alone), of which {:.0} % was used.",
        100.0 * median(&rounds, Round::share_of_slowest),
        100.0 * median(&rounds, |round| round.share_in_the_run(cores)),
        100.0 * median(&rounds, |round| round.share_of_cores(cores)),
        100.0 * median(&rounds, |round| round.busy(cores))
    );
    Ok(())
}

fn run() -> Result<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    let files = Files::new(&options)?;
    println!(
        "{} x {} f32, {:.2} GB, in windows of {} rows; read from {}, in {}; medians of {} rounds.",
        files.rows,
        files.classes,
        files.bytes() / 1e9,
        files.window_rows,
        if files.is_cold { "the disk" } else { "memory" },
        options.folder.display(),
        options.rounds
    );
    if options.takes("cpu") {
        table(&files, &Device::cpu(), options.rounds)?;
    }
    #[cfg(feature = "gpu")]
    if options.takes("gpu") {
        table(&files, &Device::gpu()?, options.rounds)?;
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
