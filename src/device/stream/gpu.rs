//! Windows on a GPU: while one is computed the next is copied to the device and the one before back.
//!
//! wgpu runs what is submitted in its order, so all windows have the same buffers on the device. What
//! each has for itself are the buffers that it is copied through.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::buffers::Buffers;
use super::op::Stream;
use super::parts::{Made, Parts};
use super::{Batch, Counts, Part, Total};
use crate::clock::Clock;
use crate::cpu::LossSum;
use crate::device::gpu::{OwnedGpu, append};
use crate::device::timings::Timings;
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Reading, RowMetrics, WindowedCall};
use crate::matrix::Array;
use crate::op::Reduction;

/// A window, where in its batch it stands, and an array whose memory may be used.
pub(super) struct Window<'w> {
    pub(super) parts: Parts<'w>,
    pub(super) batch: &'w Batch<'w>,
    pub(super) first: usize,
    pub(super) spare: Option<Array>,
}

#[derive(Debug)]
pub(super) struct GpuStream {
    buffers: Buffers,
    made: Made,
    /// Whether losses are not reduced.
    is_each: bool,
    shared: Arc<Shared>,
}

/// What a stream has in common with its windows, which other threads may wait for.
#[derive(Debug)]
struct Shared {
    call: WindowedCall,
    sums: Mutex<DeviceRows>,
    /// Buffers that windows were read through.
    staging: Mutex<Vec<wgpu::Buffer>>,
    work: Mutex<Work>,
}

/// How long the device and what follows it were at work.
#[derive(Debug, Default)]
struct Work {
    timings: Timings,
    /// Since the last window was there.
    idle: Option<Clock>,
}

/// What rows come to together. Windows may be waited for in any order; they are summed in the batch's.
#[derive(Debug, Default)]
struct DeviceRows {
    /// Rows that are summed, as the kernels see them.
    done: u64,
    /// The results of windows that come later, by their first row, with how many rows they have.
    later: BTreeMap<u64, (u64, Vec<u8>)>,
    loss: LossSum,
    metrics: RowMetrics,
}

impl DeviceRows {
    /// The results of so many rows from the first.
    fn take(&mut self, call: &WindowedCall, made: Made, [first, rows]: [u64; 2], results: &[u8]) {
        if first != self.done {
            self.later.insert(first, (rows, results.to_vec()));
            return;
        }
        self.push(call, made, rows, results);
        while let Some((rows, results)) = self.later.remove(&self.done) {
            self.push(call, made, rows, &results);
        }
    }

    fn push(&mut self, call: &WindowedCall, made: Made, rows: u64, results: &[u8]) {
        // Of elements a row has their sum and what rounding took from it.
        let columns = if made.by_element() { 0..2 } else { 0..1 };
        let losses: Vec<f32> =
            call.losses(results).flat_map(|row| columns.clone().map(move |i| row[i])).collect();
        self.loss.push(&losses);
        call.push_metrics(results, &mut self.metrics);
        self.done += rows;
    }
}

/// A window on its way through the device.
#[derive(Debug)]
pub(super) struct Pending {
    gpu: Gpu,
    shared: Arc<Shared>,
    made: Made,
    /// Its first row and how many there are, as the kernels see them.
    rows: [u64; 2],
    /// Whether losses are not reduced.
    is_each: bool,
    /// Whether there are losses of elements.
    has_each: bool,
    /// How the matrix is stored, and returned.
    dtypes: [Dtype; 2],
    spare: Option<Array>,
    reading: Reading,
    clock: Clock,
}

/// Hands a window to the device. The first one says what there is to prepare.
pub(super) async fn begin<O: Stream>(
    op: &O,
    gpu: &OwnedGpu,
    (stream, timings): (&mut Option<GpuStream>, &mut Timings),
    window: Window<'_>,
) -> Result<Pending> {
    let stream = match stream {
        Some(stream) => stream,
        None => stream.insert(GpuStream::new(op, gpu, timings, &window).await?),
    };
    stream.begin(gpu, timings, window).await
}

impl GpuStream {
    async fn new<O: Stream>(
        op: &O,
        gpu: &OwnedGpu,
        timings: &mut Timings,
        window: &Window<'_>,
    ) -> Result<Self> {
        let (made, parts) = (op.result(), &window.parts);
        let clock = Clock::start();
        let buffers = Buffers::new(gpu, made, parts, window.batch).await?;
        timings.upload += clock.elapsed();
        let clock = Clock::start();
        let description = op.describe_window(&buffers, parts)?;
        let call = WindowedCall::begin(gpu.context(), description, buffers.room()).await?;
        timings.compute += clock.elapsed();
        let shared = Shared {
            call,
            sums: Mutex::default(),
            staging: Mutex::default(),
            work: Mutex::default(),
        };
        let is_each = op.reduction_of() == Reduction::None;
        Ok(Self { buffers, made, is_each, shared: Arc::new(shared) })
    }

    async fn begin(
        &self,
        gpu: &OwnedGpu,
        timings: &mut Timings,
        window: Window<'_>,
    ) -> Result<Pending> {
        let Window { parts, first, spare, .. } = window;
        let [first, rows] = self.buffers.rows(&parts, first)?;
        let clock = Clock::start();
        self.buffers.upload(gpu, &parts, self.made).await?;
        timings.upload += clock.elapsed();

        let (clock, call) = (Clock::start(), &self.shared.call);
        call.window(first, rows).await?;
        let matrix = (self.made.matrices() > 0).then(|| self.buffers.matrix(rows));
        let each = self.buffers.losses(rows);
        let stats = match self.made {
            Made::ElementLosses { each: true, .. } | Made::Matrix => None,
            _ => call.stats(first, rows),
        };
        let pieces: Vec<_> = [matrix, each, stats].into_iter().flatten().collect();
        let staging = lock(&self.shared.staging).pop();
        let reading = gpu.context().begin_reading(&pieces, staging).await?;
        Ok(Pending {
            gpu: gpu.context().clone(),
            shared: self.shared.clone(),
            made: self.made,
            rows: [first, rows],
            is_each: self.is_each,
            has_each: each.is_some(),
            dtypes: [self.buffers.stored(), parts.input.dtype()],
            spare,
            reading,
            clock,
        })
    }

    /// How long the device was at work on the windows that were waited for, and what copying them back
    /// took.
    pub(super) fn timings(&self) -> Timings {
        lock(&self.shared.work).timings
    }

    /// What the windows came to, all of which have to have been waited for.
    pub(super) fn finish<O: Stream>(self, op: &O, counts: &Counts) -> Result<(Total, Timings)> {
        let timings = self.timings();
        let mut sums = lock(&self.shared.sums);
        let sums = std::mem::take(&mut *sums);
        let is_summed = op.reduction_of() != Reduction::None || op.has_metrics_of();
        if is_summed && sums.done != self.buffers.batch_rows() {
            let reason = "was not waited for".to_owned();
            return Err(Error::InvalidInput { what: "window", reason });
        }
        let &Counts { kept_rows, total_weight, divisor } = counts;
        let loss = (op.reduction_of() != Reduction::None)
            .then(|| sums.loss.reduced(op.reduction_of(), divisor));
        let metrics = op.has_metrics_of().then(|| sums.metrics.metrics(kept_rows));
        Ok((Total { loss, kept_rows, total_weight, metrics }, timings))
    }
}

impl Pending {
    pub(super) async fn wait(self) -> Result<Part> {
        let Self { gpu, shared, made, rows, is_each, has_each, dtypes, spare, reading, clock } =
            self;
        let mut part = Part::default();
        let mut copying = None;
        let take = |pieces: &mut dyn Iterator<Item = &[u8]>| {
            lock(&shared.work).is_there(&clock);
            copying = Some(Clock::start());
            if made.matrices() > 0 {
                part.matrix = pieces.next().map(|bytes| array(bytes, dtypes, spare));
            }
            if has_each {
                part.each = pieces.next().map(|bytes| array(bytes, [Dtype::F32; 2], None));
            }
            if let Some(results) = pieces.next() {
                of_rows(&mut part, (made, is_each), &shared.call, results);
                lock(&shared.sums).take(&shared.call, made, rows, results);
            }
        };
        let staging = gpu.finish_reading(reading, take).await?;
        lock(&shared.staging).extend(staging);
        lock(&shared.work).timings.download +=
            copying.map(|clock| clock.elapsed()).unwrap_or_default();
        Ok(part)
    }
}

impl Work {
    /// A window is there that was submitted when this clock was started: it was computed since then, or
    /// since the one before was there.
    fn is_there(&mut self, clock: &Clock) {
        let idle = self.idle.replace(Clock::start());
        let since = clock.elapsed();
        self.timings.compute += idle.map_or(since, |idle| since.min(idle.elapsed()));
    }
}

/// What is stored on the device as one dtype, in the memory of another array if that fits.
fn array(bytes: &[u8], [stored, dtype]: [Dtype; 2], spare: Option<Array>) -> Array {
    let mut array = Array::with_room(spare, dtype, bytes.len() / stored.size());
    append(&mut array, bytes, stored);
    array
}

/// The results of rows, from how they stand on the device.
fn of_rows(part: &mut Part, (made, is_each): (Made, bool), call: &WindowedCall, stats: &[u8]) {
    if made.by_element() {
        return;
    }
    let stats = call.losses(stats);
    if let Made::Rows { column } = made {
        part.each = Some(Array::F32(stats.map(|row| row[column]).collect()));
        return;
    }
    let (losses, lse) = stats.map(|[loss, lse]| (loss, lse)).unzip();
    part.each = is_each.then_some(Array::F32(losses));
    part.lse = Some(Array::F32(lse));
}

/// A panic elsewhere leaves nothing half-changed in a list of buffers or a sum of times.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
