//! Windows on a GPU: while one is computed the next is copied to the device and the one before back.
//!
//! wgpu runs what is submitted in its order, so all windows have the same buffers on the device. What
//! each has for itself are the buffers that it is copied through.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::buffers::Buffers;
use super::counts::Counts;
use super::{Batch, Part, Total};
use crate::clock::Clock;
use crate::cpu::{self, InstructionSet, LossSum};
use crate::device::gpu::{OwnedGpu, append};
use crate::device::timings::Timings;
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Piece, Reading, RowMetrics, WindowedCall};
use crate::matrix::{Array, Matrix};
use crate::op::{Data, Kind, Loss, OutputKind, Reduction, Results, kept};

/// A window, where in its batch it stands, and an array whose memory may be used.
pub(super) struct Window<'w> {
    pub(super) data: Data<'w>,
    pub(super) batch: &'w Batch<'w>,
    pub(super) first: usize,
    pub(super) spare: Option<Array>,
}

#[derive(Debug)]
pub(super) struct GpuStream<'a> {
    buffers: Buffers<'a>,
    output: OutputKind,
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
    fn take(
        &mut self,
        call: &WindowedCall,
        output: OutputKind,
        [first, rows]: [u64; 2],
        results: &[u8],
    ) {
        if first != self.done {
            self.later.insert(first, (rows, results.to_vec()));
            return;
        }
        self.push(call, output, rows, results);
        while let Some((rows, results)) = self.later.remove(&self.done) {
            self.push(call, output, rows, &results);
        }
    }

    fn push(&mut self, call: &WindowedCall, output: OutputKind, rows: u64, results: &[u8]) {
        // Of elements a row has their sum and what rounding took from it.
        let columns = if output.by_element() { 0..2 } else { 0..1 };
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
    output: OutputKind,
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

/// Evaluates an operation on a batch: a stream of one window, whose results are read in parts.
pub(crate) async fn execute(
    gpu: &OwnedGpu,
    kind: &Kind<'_>,
    data: &Data<'_>,
) -> Result<(Results, Timings)> {
    if let Kind::LinearCrossEntropy(op) = kind {
        let (output, timings) = gpu.linear_cross_entropy(op, &data.linear()).await?;
        return Ok((Results::linear(output), timings));
    }
    let mut timings = Timings::default();
    if data.input.values().is_empty() {
        return Ok((cpu::execute(InstructionSet::best(), kind, data)?, timings));
    }
    kind.validate(data)?;
    let of_elements = kind.element_mask(data);
    let data = Data { mask: of_elements.as_deref().or(data.mask), ..*data };
    let (rows, columns) = (data.input.rows(), data.input.columns());
    let batch = Batch {
        targets: data.targets,
        mask: data.mask.filter(|_| !kind.output().by_element()),
        kept_elements: Some(kept(of_elements.as_deref(), rows * columns)),
        ..Batch::new(rows, columns, rows)
    };
    let counts = Counts::of(kind, &batch);
    let window = Window { data, batch: &batch, first: 0, spare: None };
    let stream = GpuStream::new(kind, gpu, &mut timings, &window).await?;
    let [_, rows] = stream.compute(gpu, &mut timings, &window).await?;
    let clock = Clock::start();
    gpu.context().wait().await?;
    timings.compute += clock.elapsed();

    let clock = Clock::start();
    let results = stream.read(gpu, kind, &window, (rows, counts)).await?;
    timings.download += clock.elapsed();
    Ok((results, timings))
}

/// Hands a window to the device. The first one says what there is to prepare.
pub(super) async fn begin<'a>(
    kind: &Kind<'_>,
    gpu: &'a OwnedGpu,
    (stream, timings): (&mut Option<GpuStream<'a>>, &mut Timings),
    window: Window<'_>,
) -> Result<Pending> {
    let stream = match stream {
        Some(stream) => stream,
        None => stream.insert(GpuStream::new(kind, gpu, timings, &window).await?),
    };
    stream.begin(gpu, timings, window).await
}

impl<'a> GpuStream<'a> {
    async fn new(
        kind: &Kind<'_>,
        gpu: &'a OwnedGpu,
        timings: &mut Timings,
        window: &Window<'_>,
    ) -> Result<Self> {
        let clock = Clock::start();
        let buffers = Buffers::new(gpu, kind, &window.data, window.batch).await?;
        timings.upload += clock.elapsed();
        let clock = Clock::start();
        let description = buffers.describe(kind, &window.data)?;
        let call = WindowedCall::begin(gpu.context(), description, buffers.room()).await?;
        timings.compute += clock.elapsed();
        let shared = Shared {
            call,
            sums: Mutex::default(),
            staging: Mutex::default(),
            work: Mutex::default(),
        };
        let is_each = kind.common().reduction == Reduction::None;
        Ok(Self { buffers, output: kind.output(), is_each, shared: Arc::new(shared) })
    }

    /// Uploads a window and submits what computes it: its first row and how many they are, as the kernels
    /// see them.
    async fn compute(
        &self,
        gpu: &OwnedGpu,
        timings: &mut Timings,
        window: &Window<'_>,
    ) -> Result<[u64; 2]> {
        let [first, rows] = self.buffers.rows(&window.data, window.first)?;
        let clock = Clock::start();
        self.buffers.upload(gpu, &window.data, self.output).await?;
        timings.upload += clock.elapsed();
        let clock = Clock::start();
        self.shared.call.window(first, rows).await?;
        timings.compute += clock.elapsed();
        Ok([first, rows])
    }

    async fn begin(
        &self,
        gpu: &OwnedGpu,
        timings: &mut Timings,
        window: Window<'_>,
    ) -> Result<Pending> {
        let clock = Clock::start();
        let mut of_window = Timings::default();
        let [first, rows] = self.compute(gpu, &mut of_window, &window).await?;
        timings.upload += of_window.upload;
        let matrix = self.output.has_matrix().then(|| self.buffers.matrix(rows));
        let each = self.buffers.losses(rows);
        let pieces: Vec<_> =
            [matrix, each, self.results(first, rows)].into_iter().flatten().collect();
        let staging = lock(&self.shared.staging).pop();
        let reading = gpu.context().begin_reading(&pieces, staging).await?;
        Ok(Pending {
            gpu: gpu.context().clone(),
            shared: self.shared.clone(),
            output: self.output,
            rows: [first, rows],
            is_each: self.is_each,
            has_each: each.is_some(),
            dtypes: [self.buffers.stored(), window.data.input.dtype()],
            spare: window.spare,
            reading,
            clock,
        })
    }

    /// The results of so many rows from the first, where something is made of them.
    fn results(&self, first: u64, rows: u64) -> Option<Piece<'_>> {
        match self.output {
            OutputKind::ElementLosses { each: true, .. } | OutputKind::Matrix => None,
            _ => self.shared.call.stats(first, rows),
        }
    }

    /// What the one window of a batch came to.
    async fn read(
        &self,
        gpu: &OwnedGpu,
        kind: &Kind<'_>,
        window: &Window<'_>,
        (rows, counts): (u64, Counts),
    ) -> Result<Results> {
        let (buffers, call, common) = (&self.buffers, &self.shared.call, kind.common());
        let dtypes = |matrix: &Matrix<'_>| [buffers.stored(), matrix.dtype()];
        let mut results = Results {
            kept_rows: counts.kept_rows,
            total_weight: counts.total_weight,
            ..Results::default()
        };
        if self.output.has_matrix() {
            let (piece, dtypes) = (buffers.matrix(rows), dtypes(&window.data.input));
            results.matrix = Some(gpu.download(piece, dtypes).await?);
        }
        if let (Some(piece), Some(probs)) = (buffers.dtargets(rows), &window.data.second) {
            results.dtargets = Some(gpu.download(piece, dtypes(probs)).await?);
        }
        if let Some(piece) = buffers.losses(rows) {
            results.loss = Loss::Each(gpu.download(piece, [Dtype::F32; 2]).await?);
        }
        let Some(Piece { buffer, offset, bytes }) = self.results(0, rows) else {
            return Ok(results);
        };
        let (mut of_rows, mut metrics) = (Vec::new(), RowMetrics::with_columns(rows as usize));
        let take = |part: &[u8]| {
            of_rows.extend(call.losses(part));
            call.push_metrics(part, &mut metrics);
        };
        gpu.context().read_with(buffer, offset, bytes, take).await?;
        match self.output {
            OutputKind::ElementLosses { .. } => {
                // Of elements a row has their sum and what rounding took from it.
                let mut sum = LossSum::default();
                sum.push(bytemuck::cast_slice(&of_rows));
                results.loss = Loss::Reduced(sum.reduced(common.reduction, counts.divisor));
            }
            OutputKind::Rows { column } => {
                results.rows = Array::F32(of_rows.iter().map(|row| row[column]).collect());
            }
            OutputKind::RowLosses { .. } | OutputKind::Matrix => {
                let (losses, lse) = of_rows.into_iter().map(|[loss, lse]| (loss, lse)).unzip();
                results.loss = cpu::reduce(losses, common.reduction, counts.divisor);
                results.rows = Array::F32(lse);
                results.metrics = kind.has_metrics().then(|| metrics.metrics(counts.kept_rows));
            }
        }
        Ok(results)
    }

    /// How long the device was at work on the windows that were waited for, and what copying them back
    /// took.
    pub(super) fn timings(&self) -> Timings {
        lock(&self.shared.work).timings
    }

    /// What the windows came to, all of which have to have been waited for.
    pub(super) fn finish(self, kind: &Kind<'_>, counts: &Counts) -> Result<(Total, Timings)> {
        let reduction = kind.common().reduction;
        let timings = self.timings();
        let mut sums = lock(&self.shared.sums);
        let sums = std::mem::take(&mut *sums);
        let is_summed = reduction != Reduction::None || kind.has_metrics();
        if is_summed && sums.done != self.buffers.batch_rows() {
            let reason = "was not waited for".to_owned();
            return Err(Error::InvalidInput { what: "window", reason });
        }
        let &Counts { kept_rows, total_weight, divisor } = counts;
        let loss = (reduction != Reduction::None).then(|| sums.loss.reduced(reduction, divisor));
        let metrics = kind.has_metrics().then(|| sums.metrics.metrics(kept_rows));
        Ok((Total { loss, kept_rows, total_weight, metrics }, timings))
    }
}

impl Pending {
    pub(super) async fn wait(self) -> Result<Part> {
        let Self { gpu, shared, output, rows, is_each, has_each, dtypes, spare, reading, clock } =
            self;
        let mut part = Part::default();
        let mut copying = None;
        let take = |pieces: &mut dyn Iterator<Item = &[u8]>| {
            lock(&shared.work).is_there(&clock);
            copying = Some(Clock::start());
            if output.has_matrix() {
                part.matrix = pieces.next().map(|bytes| array(bytes, dtypes, spare));
            }
            if has_each {
                part.each = pieces.next().map(|bytes| array(bytes, [Dtype::F32; 2], None));
            }
            if let Some(results) = pieces.next() {
                of_rows(&mut part, (output, is_each), &shared.call, results);
                lock(&shared.sums).take(&shared.call, output, rows, results);
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
fn of_rows(
    part: &mut Part,
    (output, is_each): (OutputKind, bool),
    call: &WindowedCall,
    stats: &[u8],
) {
    if output.by_element() {
        return;
    }
    let stats = call.losses(stats);
    if let OutputKind::Rows { column } = output {
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
