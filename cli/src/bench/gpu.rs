//! What runs on a GPU: timed by its own clock where that works.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use surprisal::Error;
use surprisal::gpu::Gpu;
use surprisal::wgpu::{self, BufferUsages, util::DownloadBuffer};

use crate::bench::measure::Sample;
use crate::error::{Failure, Result};

/// Bytes that are written or read at a time.
const CHUNK: u64 = 32 << 20;
/// Vectors that a lane of the copy moves; `EACH` of `copy.wgsl`.
const EACH: u64 = 8;
/// Bytes that a binding of the copy covers, at most: so many that one dimension of workgroups will do.
const MOST_COPIED: u64 = 256 << 20;

/// A GPU, and what measuring on it needs.
pub(crate) struct Stopwatch<'g> {
    pub(crate) gpu: &'g Gpu,
    copy: wgpu::ComputePipeline,
    lanes: u32,
    clock: Option<Clock>,
}

/// The GPU's own clock.
struct Clock {
    stamps: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    staging: wgpu::Buffer,
    /// Seconds of a tick.
    tick: f64,
}

/// Copies a matrix, window by window.
pub(crate) struct Copy {
    windows: Vec<(wgpu::BindGroup, u32)>,
}

impl<'g> Stopwatch<'g> {
    pub(crate) fn new(gpu: &'g Gpu) -> surprisal::Result<Self> {
        let lanes = gpu.caps().max_workgroup_size.min(256);
        let device = gpu.device();
        let clock = scoped(gpu, "the GPU's clock", || Clock::new(gpu))?;
        let copy = scoped(gpu, "the copy", || {
            let module = device.create_shader_module(wgpu::include_wgsl!("copy.wgsl"));
            device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some("copy"),
                layout: None,
                module: &module,
                entry_point: Some("main"),
                compilation_options: wgpu::PipelineCompilationOptions {
                    constants: &[("WG_SIZE", f64::from(lanes))],
                    zero_initialize_workgroup_memory: false,
                },
                cache: None,
            })
        })?;
        Ok(Self { gpu, copy, lanes, clock })
    }

    /// A buffer of whole vectors.
    pub(crate) fn buffer(&self, contents: &[u8]) -> surprisal::Result<wgpu::Buffer> {
        let size = (contents.len() as u64).next_multiple_of(16);
        let limit = self.gpu.caps().max_buffer_bytes;
        if size > limit {
            return Err(Error::TooLarge { what: "a matrix", needed: size, limit });
        }
        let what = format!("a buffer of {size} bytes");
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
        let descriptor =
            wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
        let buffer = scoped(self.gpu, &what, || self.gpu.device().create_buffer(&descriptor))?;
        for (i, chunk) in contents.chunks(CHUNK as usize).enumerate() {
            let mut words = chunk.to_vec();
            words.resize(chunk.len().next_multiple_of(4), 0);
            scoped(self.gpu, "a staging buffer", || {
                self.gpu.queue().write_buffer(&buffer, i as u64 * CHUNK, &words);
                self.gpu.queue().submit([]);
            })?;
            self.wait()?;
        }
        Ok(buffer)
    }

    pub(crate) fn copy(
        &self,
        source: &wgpu::Buffer,
        destination: &wgpu::Buffer,
    ) -> surprisal::Result<Copy> {
        let window = MOST_COPIED.min(self.gpu.caps().max_binding_bytes) & !0xFFFF;
        let layout = self.copy.get_bind_group_layout(0);
        scoped(self.gpu, "the copy", || {
            let windows = (0..source.size()).step_by(window as usize).map(|offset| {
                let size = window.min(source.size() - offset);
                let entry = |binding, buffer| wgpu::BindGroupEntry {
                    binding,
                    resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                        buffer,
                        offset,
                        size: wgpu::BufferSize::new(size),
                    }),
                };
                let bind_group = self.gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
                    label: Some("copy"),
                    layout: &layout,
                    entries: &[entry(0, source), entry(1, destination)],
                });
                let groups = size.div_ceil(16 * EACH * u64::from(self.lanes));
                (bind_group, groups as u32)
            });
            Copy { windows: windows.collect() }
        })
    }

    pub(crate) fn encode_copy(&self, copy: &Copy, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.copy);
        for (bind_group, groups) in &copy.windows {
            pass.set_bind_group(0, bind_group, &[]);
            pass.dispatch_workgroups(*groups, 1, 1);
        }
    }

    /// One of some calls that are recorded into one pass and submitted together.
    pub(crate) fn time(
        &self,
        calls: u32,
        record: impl Fn(&mut wgpu::ComputePass<'_>),
    ) -> Result<Sample> {
        let start = Instant::now();
        let encode = scoped(self.gpu, "a recording", || {
            let (encoder, encode) = self.record(calls, record);
            self.gpu.queue().submit([encoder.finish()]);
            encode
        })
        .map_err(Failure::run)?;
        self.wait().map_err(Failure::run)?;
        let wall = start.elapsed().as_secs_f64();
        let device = match &self.clock {
            // A clock that stands still, or runs faster than ours, is none.
            Some(clock) => {
                let seconds = clock.read(self).map_err(Failure::run)?;
                Some(seconds).filter(|seconds| *seconds > 0.0 && *seconds <= wall)
            }
            None => None,
        };
        let each = |seconds: f64| seconds / f64::from(calls);
        let (wall, device, encode) = (each(wall), device.map(each), Some(each(encode)));
        Ok(Sample { wall, device, encode, stages: None })
    }

    /// The commands, and the seconds that recording the calls took.
    fn record(
        &self,
        calls: u32,
        record: impl Fn(&mut wgpu::ComputePass<'_>),
    ) -> (wgpu::CommandEncoder, f64) {
        let descriptor = wgpu::CommandEncoderDescriptor::default();
        let mut encoder = self.gpu.device().create_command_encoder(&descriptor);
        let timestamp_writes = self.clock.as_ref().map(|clock| wgpu::ComputePassTimestampWrites {
            query_set: &clock.stamps,
            beginning_of_pass_write_index: Some(0),
            end_of_pass_write_index: Some(1),
        });
        let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes };
        let mut pass = encoder.begin_compute_pass(&descriptor);
        let start = Instant::now();
        for _ in 0..calls {
            record(&mut pass);
        }
        let encode = start.elapsed().as_secs_f64();
        drop(pass);
        if let Some(Clock { stamps, resolved, staging, .. }) = &self.clock {
            encoder.resolve_query_set(stamps, 0..2, resolved, 0);
            encoder.copy_buffer_to_buffer(resolved, 0, staging, 0, Clock::BYTES);
        }
        (encoder, encode)
    }

    /// The first bytes of a buffer.
    pub(crate) fn read(&self, buffer: &wgpu::Buffer, bytes: usize) -> surprisal::Result<Vec<u8>> {
        let mut all = Vec::with_capacity(bytes.next_multiple_of(4));
        let end = (bytes as u64).next_multiple_of(4);
        for start in (0..end).step_by(CHUNK as usize) {
            let part = buffer.slice(start..end.min(start + CHUNK));
            let (sender, receiver) = std::sync::mpsc::channel();
            scoped(self.gpu, "a staging buffer", || {
                let (device, queue) = (self.gpu.device(), self.gpu.queue());
                DownloadBuffer::read_buffer(device, queue, &part, move |result| {
                    // The receiver is gone if the wait failed; that is reported.
                    let _ = sender.send(result.map(|part| part.to_vec()));
                });
            })?;
            self.wait()?;
            match receiver.recv() {
                Ok(Ok(part)) => all.extend(part),
                Ok(Err(error)) => return Err(lost(&error)),
                Err(error) => return Err(lost(&error)),
            }
        }
        all.truncate(bytes);
        Ok(all)
    }

    fn wait(&self) -> surprisal::Result<()> {
        let wait = || self.gpu.device().poll(wgpu::PollType::wait_indefinitely());
        // wgpu panics here when the device is lost while it waits.
        match catch_unwind(AssertUnwindSafe(wait)) {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(lost(&error)),
            Err(_) => Err(lost(&"the driver gave up while waiting")),
        }
    }
}

impl Clock {
    const BYTES: u64 = 16;

    fn new(gpu: &Gpu) -> Option<Self> {
        let device = gpu.device();
        if !device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return None;
        }
        let stamps = device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("clock"),
            ty: wgpu::QueryType::Timestamp,
            count: 2,
        });
        let buffer = |usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("clock"),
                size: Self::BYTES,
                usage,
                mapped_at_creation: false,
            })
        };
        let tick = 1e-9 * f64::from(gpu.queue().get_timestamp_period());
        Some(Self {
            stamps,
            resolved: buffer(BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC),
            staging: buffer(BufferUsages::MAP_READ | BufferUsages::COPY_DST),
            tick,
        })
    }

    /// Seconds between the two ends of the pass that was last waited for.
    fn read(&self, stopwatch: &Stopwatch<'_>) -> surprisal::Result<f64> {
        scoped(stopwatch.gpu, "a mapping", || {
            self.staging.map_async(wgpu::MapMode::Read, .., |_| {});
        })?;
        stopwatch.wait()?;
        let stamps: [u64; 2] = {
            let view = self.staging.get_mapped_range(..).map_err(|error| lost(&error))?;
            bytemuck::pod_read_unaligned(&view)
        };
        self.staging.unmap();
        Ok(stamps[1].saturating_sub(stamps[0]) as f64 * self.tick)
    }
}

fn lost(reason: &dyn std::fmt::Display) -> Error {
    Error::DeviceLost { reason: reason.to_string() }
}

/// What wgpu refuses becomes an error.
fn scoped<T>(gpu: &Gpu, what: &str, create: impl FnOnce() -> T) -> surprisal::Result<T> {
    let scopes = [
        wgpu::ErrorFilter::Internal,
        wgpu::ErrorFilter::Validation,
        wgpu::ErrorFilter::OutOfMemory,
    ]
    .map(|filter| gpu.device().push_error_scope(filter));
    let created = create();
    let mut outcome = Ok(());
    for scope in scopes.into_iter().rev() {
        let Some(error) = pollster::block_on(scope.pop()) else { continue };
        outcome = outcome.and(Err(match error {
            wgpu::Error::OutOfMemory { .. } => Error::OutOfMemory { what: what.to_owned() },
            error => Error::Gpu { message: error.to_string() },
        }));
    }
    outcome.map(|()| created)
}
