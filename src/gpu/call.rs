//! From a plan to recorded commands: [`Call`].

use std::borrow::Borrow;
use std::collections::HashMap;
use std::ops::Range;

mod product;
mod windowed;

pub(crate) use windowed::WindowedCall;

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::gpu::context::Gpu;
use crate::gpu::fragment::Slot;
use crate::gpu::pace::Pace;
use crate::gpu::params::{Params, SKIPPED, Summary};
use crate::gpu::plan::{Bound, Plan, Problem, Role, Step};
use crate::gpu::record::Description;
use crate::op::Metrics;

/// An operation bound to its buffers, ready to be recorded any number of times.
///
/// Preparing plans, compiles and allocates; [`encode`](Self::encode) does none of that, and reads
/// whatever the bound buffers hold when the commands run.
#[derive(Debug)]
pub struct Call {
    gpu: Gpu,
    name: &'static str,
    dispatches: Vec<Dispatch>,
    rows: u64,
    classes: u64,
    /// Bytes of a row's results.
    stats_row: u64,
    /// Whether the summary tells of targets.
    has_targets: bool,
    stats: Option<wgpu::Buffer>,
    summary: Option<wgpu::Buffer>,
}

#[derive(Debug)]
struct Dispatch {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    grid: [u32; 2],
    cost: u64,
}

impl Dispatch {
    fn encode(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bind_group, &[]);
        pass.dispatch_workgroups(self.grid[0], self.grid[1], 1);
    }
}

/// The callers' buffers, by their parts in the call.
pub(crate) type Roles<'a> = HashMap<Role, &'a wgpu::Buffer>;

impl Call {
    pub(crate) async fn new(gpu: &Gpu, description: Description<'_>) -> Result<Self> {
        let plan = match &description.layer {
            Some(layer) => layer.plan(&description.problem, gpu.caps(), gpu.tuning_ref())?,
            None => Plan::new(&description.problem, gpu.caps(), gpu.tuning_ref())?,
        };
        Self::planned(gpu, description, plan).await
    }

    async fn planned(gpu: &Gpu, description: Description<'_>, plan: Plan) -> Result<Self> {
        let Description { name, problem, roles, weights, .. } = description;
        let pipelines = pipelines(gpu, &plan.steps).await?;
        gpu.scoped(name, |gpu| {
            let owned = Owned::new(gpu, &plan, weights.as_deref())?;
            let dispatches =
                dispatches(gpu, (&plan.steps, &plan.fitted), pipelines, &owned, &roles)?;
            Ok(Self::of(gpu, name, &problem, (dispatches, &owned)))
        })
        .await?
    }

    fn of(
        gpu: &Gpu,
        name: &'static str,
        problem: &Problem,
        (dispatches, owned): (Vec<Dispatch>, &Owned),
    ) -> Self {
        Self {
            gpu: gpu.clone(),
            name,
            dispatches,
            rows: problem.rows,
            classes: problem.classes,
            stats_row: problem.stats_row(),
            has_targets: problem.targets.is_some(),
            stats: owned.stats.clone(),
            summary: owned.summary.clone(),
        }
    }

    /// Records the operation. Nothing is submitted; the results are there once the encoder's
    /// commands have run.
    ///
    /// No dispatch takes longer than [`Tuning::budget`](crate::gpu::Tuning::budget), as estimated; what
    /// the encoder's commands take together is up to the caller.
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder) {
        self.encode_in_pass(&mut self.begin_pass(encoder));
    }

    fn begin_pass<'e>(&self, encoder: &'e mut wgpu::CommandEncoder) -> wgpu::ComputePass<'e> {
        encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: Some(self.name),
            timestamp_writes: None,
        })
    }

    /// [`Self::encode`] in a compute pass of the caller's: one that other dispatches share, or that
    /// writes timestamps. The pass is left with another pipeline and another bind group 0.
    pub fn encode_in_pass(&self, pass: &mut wgpu::ComputePass<'_>) {
        for dispatch in &self.dispatches {
            dispatch.encode(pass);
        }
    }

    /// Records and submits the operation, in submissions that take no longer than the budget: as
    /// estimated at first, then by what the ones before took. Waits for all but the last.
    pub(crate) async fn submit(&self) -> Result<()> {
        let mut pace = Pace::new(self.gpu.tuning_ref());
        let mut rest = &self.dispatches[..];
        while !rest.is_empty() {
            let count = pace.take(rest.iter().map(|dispatch| dispatch.cost));
            let (now, later) = rest.split_at(count);
            let clock = Clock::start();
            let encoder = self.gpu.scoped("a recording", |gpu| self.record(gpu, now)).await?;
            self.gpu.submit(encoder).await?;
            if !later.is_empty() {
                self.gpu.wait().await?;
                pace.learn(now.iter().map(|dispatch| dispatch.cost).sum(), clock.elapsed());
            }
            rest = later;
        }
        Ok(())
    }

    fn record(&self, gpu: &Gpu, dispatches: &[Dispatch]) -> wgpu::CommandEncoder {
        let mut encoder = gpu.encoder();
        let mut pass = self.begin_pass(&mut encoder);
        for dispatch in dispatches {
            dispatch.encode(&mut pass);
        }
        drop(pass);
        encoder
    }

    /// How many dispatches [`encode`](Self::encode) records.
    pub fn dispatches(&self) -> usize {
        self.dispatches.len()
    }

    /// The rows' (loss, lse), `[rows, 2]` of f32, for operations that have them: a buffer with the
    /// usages `STORAGE` and `COPY_SRC`. Of an entropy it is (entropy, lse), of an elementwise loss
    /// (sum over the row, what rounding took from it). With metrics it is `[rows, 4]`: loss, lse, -log p of the target, and
    /// the bits of a u32, the best column, 0x7fffffff if the row is ignored, with the highest bit set
    /// if it is the target's.
    pub fn stats(&self) -> Option<&wgpu::Buffer> {
        self.stats.as_ref()
    }

    /// The batch's [`Summary`], for operations that have one: those with index targets, a reduced
    /// loss, or metrics. A buffer with the usages `STORAGE`, `UNIFORM` and `COPY_SRC`. Its word
    /// `bad_row` is the error flag; without index targets and without a mask that, `kept_rows` and
    /// `total_weight` are 0. Of an elementwise mean with a mask `total_weight` is the number of
    /// elements that count.
    pub fn summary(&self) -> Option<&wgpu::Buffer> {
        self.summary.as_ref()
    }

    /// Reads the summary of the commands submitted so far. Submits a copy and waits.
    ///
    /// # Errors
    /// [`Error::TargetOutOfRange`] if a target was neither a class nor the ignored value;
    /// [`Error::InvalidInput`] if the operation has no summary; [`Error::DeviceLost`].
    pub async fn read_summary(&self) -> Result<Summary> {
        let Some(buffer) = &self.summary else { return Err(self.has_no("summary")) };
        let mut bytes = Vec::new();
        self.gpu.read_with(buffer, 0, Summary::SIZE, |part| bytes.extend_from_slice(part)).await?;
        let summary: Summary = bytemuck::pod_read_unaligned(&bytes);
        if self.has_targets && summary.bad_row != Summary::NO_ROW {
            let [low, high] = summary.bad_target.map(u64::from);
            return Err(Error::TargetOutOfRange {
                row: summary.bad_row.into(),
                value: (low | high << 32).cast_signed(),
                classes: self.classes,
            });
        }
        Ok(summary)
    }

    /// Reads (loss, lse) of every row. Submits copies and waits.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if the operation has none; [`Error::DeviceLost`].
    pub async fn read_stats(&self) -> Result<Vec<[f32; 2]>> {
        let mut stats = Vec::with_capacity(self.rows as usize);
        self.read_rows(|row| stats.push(bytemuck::pod_read_unaligned(&row[..8]))).await?;
        Ok(stats)
    }

    /// Reads the metrics of an operation that was asked for them. Submits copies and waits.
    ///
    /// # Errors
    /// As [`Self::read_summary`].
    pub async fn read_metrics(&self) -> Result<Metrics> {
        if self.stats_row != 16 {
            return Err(self.has_no("metrics"));
        }
        let summary = self.read_summary().await?;
        let mut sums = RowMetrics::with_columns(self.rows as usize);
        self.read_rows(|row| sums.push(row)).await?;
        let kept = if self.has_targets { summary.kept_rows.into() } else { self.rows };
        Ok(sums.metrics(kept))
    }

    async fn read_rows(&self, mut row: impl FnMut(&[u8])) -> Result<()> {
        let Some(buffer) = &self.stats else { return Err(self.has_no("row results")) };
        let bytes = self.stats_row;
        let sink = |part: &[u8]| part.chunks_exact(bytes as usize).for_each(&mut row);
        self.gpu.read_with(buffer, 0, self.rows * bytes, sink).await
    }

    /// [`Self::read_summary`], blocking.
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read_summary_blocking(&self) -> Result<Summary> {
        pollster::block_on(self.read_summary())
    }

    /// [`Self::read_stats`], blocking.
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read_stats_blocking(&self) -> Result<Vec<[f32; 2]>> {
        pollster::block_on(self.read_stats())
    }

    /// [`Self::read_metrics`], blocking.
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read_metrics_blocking(&self) -> Result<Metrics> {
        pollster::block_on(self.read_metrics())
    }

    fn has_no(&self, what: &str) -> Error {
        Error::InvalidInput { what: self.name, reason: format!("has no {what} to read") }
    }
}

/// What metrics are made of, gathered from the results of rows.
#[derive(Debug, Default)]
pub(crate) struct RowMetrics {
    nll: f64,
    correct: u64,
    /// The best column of each row, where they are asked for.
    columns: Option<Vec<i64>>,
}

impl RowMetrics {
    pub(crate) fn with_columns(rows: usize) -> Self {
        Self { columns: Some(Vec::with_capacity(rows)), ..Self::default() }
    }

    /// The next row's 16 bytes.
    pub(crate) fn push(&mut self, row: &[u8]) {
        self.nll += f64::from(bytemuck::pod_read_unaligned::<f32>(&row[8..12]));
        let best = bytemuck::pod_read_unaligned::<u32>(&row[12..16]);
        self.correct += u64::from(best >> 31);
        if let Some(columns) = &mut self.columns {
            let best = best & SKIPPED;
            columns.push(if best == SKIPPED { -1 } else { best.into() });
        }
    }

    pub(crate) fn metrics(self, kept: u64) -> Metrics {
        Metrics::new(self.columns.unwrap_or_default(), self.correct, self.nll, kept)
    }
}

/// The buffers that a call keeps for itself.
#[derive(Debug, Default)]
struct Owned {
    logits: Option<wgpu::Buffer>,
    stats: Option<wgpu::Buffer>,
    summary: Option<wgpu::Buffer>,
    scratch: Option<wgpu::Buffer>,
    weights: Option<wgpu::Buffer>,
    pairs: Option<wgpu::Buffer>,
    edges: Option<wgpu::Buffer>,
    /// What a mask of rows is made into, and what labels are.
    targets: Option<wgpu::Buffer>,
    mask: Option<wgpu::Buffer>,
    /// Of rows that are not ignored, where the others are left out.
    kept: HashMap<Role, wgpu::Buffer>,
    /// The params that the device fits to them.
    fitted: Option<Uniforms>,
}

impl Owned {
    fn of_role(&self, role: Role) -> Option<&wgpu::Buffer> {
        match role {
            Role::Slot(slot) => self.get(slot),
            Role::Fitted => self.fitted.as_ref().map(|fitted| &fitted.buffer),
            _ => self.kept.get(&role),
        }
    }

    fn get(&self, slot: Slot) -> Option<&wgpu::Buffer> {
        match slot {
            Slot::Input => self.logits.as_ref(),
            Slot::Stats => self.stats.as_ref(),
            Slot::Summary => self.summary.as_ref(),
            Slot::Scratch => self.scratch.as_ref(),
            Slot::Weights => self.weights.as_ref(),
            Slot::Pairs => self.pairs.as_ref(),
            Slot::Edges => self.edges.as_ref(),
            Slot::Targets => self.targets.as_ref(),
            Slot::Mask => self.mask.as_ref(),
            _ => None,
        }
    }

    fn new(gpu: &Gpu, plan: &Plan, weights: Option<&[f32]>) -> Result<Self> {
        use wgpu::BufferUsages as Usage;
        let results = Usage::STORAGE | Usage::COPY_SRC;
        let some = |label, size: u64, usage| (size > 0).then(|| gpu.buffer(label, size, usage));
        let summary_bytes = if plan.has_summary { Summary::SIZE } else { 0 };
        let weights = weights
            .map(|weights| {
                gpu.buffer_with("class weights", bytemuck::cast_slice(weights), Usage::STORAGE)
            })
            .transpose()?;
        let kept = plan.kept.iter().filter(|(_, bytes)| *bytes > 0);
        let mut kept: HashMap<_, _> = kept
            .map(|&(role, bytes)| (role, gpu.buffer("kept rows", bytes, Usage::STORAGE)))
            .collect();
        let mut fitted = None;
        if !plan.limits.is_empty() {
            let limits = bytemuck::cast_slice(&plan.limits);
            kept.insert(Role::Limits, gpu.buffer_with("limits", limits, Usage::STORAGE)?);
            let steps = &plan.steps[plan.fitted.clone()];
            fitted = Some(Uniforms::new(gpu, steps, Usage::UNIFORM | Usage::STORAGE)?);
        }
        Ok(Self {
            kept,
            fitted,
            logits: some("a chunk of logits", plan.logits_bytes, Usage::STORAGE),
            stats: some("stats", plan.stats_bytes, results),
            summary: some("summary", summary_bytes, results | Usage::UNIFORM),
            scratch: some("scratch", plan.scratch_bytes, Usage::STORAGE),
            pairs: some("pairs of row statistics", plan.pairs_bytes, Usage::STORAGE),
            edges: some("edges of rows", plan.edges_bytes, Usage::STORAGE),
            targets: some("masked targets", plan.targets_bytes, Usage::STORAGE),
            mask: some("a mask of labels", plan.mask_bytes, Usage::STORAGE),
            weights,
        })
    }
}

async fn pipelines(gpu: &Gpu, steps: &[Step]) -> Result<Vec<wgpu::ComputePipeline>> {
    let mut pipelines = Vec::with_capacity(steps.len());
    for step in steps {
        pipelines.push(gpu.pipeline(step.kernel, step.workgroup_size).await?);
    }
    Ok(pipelines)
}

/// Steps bound to their buffers, some of them to params that are fitted; call it inside
/// [`Gpu::scoped`].
fn dispatches<'a, B: Borrow<wgpu::Buffer> + 'a>(
    gpu: &Gpu,
    (steps, fitted): (&[Step], &Range<usize>),
    pipelines: Vec<wgpu::ComputePipeline>,
    owned: &'a Owned,
    roles: &'a HashMap<Role, B>,
) -> Result<Vec<Dispatch>> {
    let buffer =
        |bound: &Bound| owned.of_role(bound.role).or_else(|| roles.get(&bound.role).map(B::borrow));
    let params = Uniforms::new(gpu, steps, wgpu::BufferUsages::UNIFORM)?;
    let params = |step: usize| match &owned.fitted {
        Some(uniforms) if fitted.contains(&step) => uniforms.binding(step - fitted.start),
        _ => params.binding(step),
    };
    let bound = steps.iter().zip(pipelines).enumerate().map(|(i, (step, pipeline))| Dispatch {
        bind_group: bind(gpu, step, &pipeline, params(i), &buffer),
        pipeline,
        grid: step.grid,
        cost: step.cost,
    });
    Ok(bound.collect())
}

/// The params of some dispatches in one buffer, each at an offset that can be bound.
#[derive(Debug)]
struct Uniforms {
    buffer: wgpu::Buffer,
    size: u64,
}

impl Uniforms {
    fn new(gpu: &Gpu, steps: &[Step], usage: wgpu::BufferUsages) -> Result<Self> {
        let size = size_of::<Params>() as u64;
        let stride = Params::STRIDE as usize;
        let mut bytes = vec![0; stride * steps.len().max(1)];
        for (slot, step) in bytes.chunks_mut(stride).zip(steps) {
            slot[..size as usize].copy_from_slice(bytemuck::bytes_of(&step.params));
        }
        let buffer = gpu.buffer_with("params", &bytes, usage)?;
        Ok(Self { buffer, size })
    }

    fn binding(&self, step: usize) -> wgpu::BindGroupEntry<'_> {
        entry(Slot::Params, &self.buffer, step as u64 * Params::STRIDE, self.size)
    }
}

fn entry(slot: Slot, buffer: &wgpu::Buffer, offset: u64, size: u64) -> wgpu::BindGroupEntry<'_> {
    let size = wgpu::BufferSize::new(size);
    wgpu::BindGroupEntry {
        binding: slot as u32,
        resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset, size }),
    }
}

fn bind<'a>(
    gpu: &Gpu,
    step: &Step,
    pipeline: &wgpu::ComputePipeline,
    params: wgpu::BindGroupEntry<'a>,
    buffer: &impl Fn(&Bound) -> Option<&'a wgpu::Buffer>,
) -> wgpu::BindGroup {
    let mut entries = vec![params];
    for bound in &step.bindings {
        if let Some(buffer) = buffer(bound) {
            entries.push(entry(bound.slot, buffer, bound.offset, bound.size));
        }
    }
    gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some(&step.kernel.name()),
        layout: &pipeline.get_bind_group_layout(0),
        entries: &entries,
    })
}
