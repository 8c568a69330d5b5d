//! A batch on a GPU, and the GPU's own clock.

use std::time::{Duration, Instant};

use surprisal::gpu::{
    Call, CrossEntropyBuffers, Gpu, MatrixBuffer, OutputBuffer, TargetsBuffer, TransformBuffers,
    UpstreamBuffer, VectorBuffer,
};
use surprisal::wgpu::{self, BufferUsages, util::DeviceExt as _};
use surprisal::{CrossEntropy, LogSoftmax, Softmax};

use super::check::Want;
use super::contest::Op;
use super::data::{Batch, Number, Shape};

/// What moving the bytes costs: 16 of them at a time, a lane after the other.
const COPY: &str = "
    @group(0) @binding(0) var<storage, read> source: array<vec4<u32>>;
    @group(0) @binding(1) var<storage, read_write> destination: array<vec4<u32>>;

    @compute @workgroup_size(256)
    fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
        for (var k = 0u; k < 8u; k++) {
            let i = group.x * 2048u + k * 256u + lane;
            if i < arrayLength(&source) {
                destination[i] = source[i];
            }
        }
    }";
/// Bytes that a workgroup of it copies.
const COPIED: u64 = 2048 * 16;

/// What is timed on a resident batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    Operation,
    Copy,
}

/// The buffers of a batch on a GPU.
pub struct Resident {
    gpu: Gpu,
    op: Op,
    shape: Shape,
    output: wgpu::Buffer,
    call: Call,
    copy: (wgpu::ComputePipeline, wgpu::BindGroup),
    stamps: Option<Stamps>,
}

/// Where the GPU's clock is written to.
struct Stamps {
    set: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    nanoseconds: f64,
}

impl Resident {
    pub fn new<T: Number>(gpu: &Gpu, op: Op, batch: &Batch<T>) -> Self {
        let buffer = |contents: &[u8]| {
            let mut contents = contents.to_vec();
            contents.resize(contents.len().next_multiple_of(16), 0);
            gpu.device().create_buffer_init(&wgpu::util::BufferInitDescriptor {
                label: None,
                contents: &contents,
                usage: BufferUsages::STORAGE | BufferUsages::COPY_SRC,
            })
        };
        let matrix: &[u8] = bytemuck::cast_slice(&batch.logits);
        let [logits, output] = [matrix, matrix].map(buffer);
        let targets = buffer(bytemuck::cast_slice(&batch.targets));
        let call = prepare(gpu, op, batch, [&logits, &targets, &output]);
        let copy = copy(gpu, &logits, &output);
        let (shape, stamps) = (batch.shape, Stamps::new(gpu));
        Self { gpu: gpu.clone(), op, shape, output, call, copy, stamps }
    }

    /// # Panics
    /// If the operation's answer is wrong, or the copy's.
    pub fn check<T: Number>(&self, batch: &Batch<T>) {
        self.run(Work::Copy);
        let copied: Vec<T> = self.read();
        let bytes = |values| bytemuck::cast_slice::<T, u8>(values);
        assert!(bytes(&copied) == bytes(&batch.logits), "the copy of {}", self.shape);
        self.run(Work::Operation);
        let want = Want::new(self.op, batch);
        if self.call.summary().is_some() {
            let summary = self.call.read_summary_blocking().expect("sound");
            want.expect_loss("gpu", f64::from(summary.loss));
        }
        if self.op != Op::Loss {
            want.expect_matrix("gpu", self.read::<T>());
        }
    }

    fn read<T: Number>(&self) -> Vec<T> {
        let (device, queue) = (self.gpu.device(), self.gpu.queue());
        let (sender, receiver) = std::sync::mpsc::channel();
        let bytes = (self.shape.len() * size_of::<T>()) as u64;
        let slice = self.output.slice(..bytes.next_multiple_of(4));
        wgpu::util::DownloadBuffer::read_buffer(device, queue, &slice, move |got| {
            let got = got.expect("it can be read");
            sender.send(got.to_vec()).expect("somebody waits");
        });
        self.wait();
        let mut got = receiver.recv().expect("it is read");
        got.truncate(bytes as usize);
        bytemuck::pod_collect_to_vec(&got)
    }

    /// One submission, to its end: by the GPU's clock if it has one, else by ours.
    pub fn run(&self, work: Work) -> Duration {
        let start = Instant::now();
        let mut encoder = self.encoder();
        let timestamp_writes =
            self.stamps.as_ref().map(|stamps| wgpu::ComputePassTimestampWrites {
                query_set: &stamps.set,
                beginning_of_pass_write_index: Some(0),
                end_of_pass_write_index: Some(1),
            });
        let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes };
        let mut pass = encoder.begin_compute_pass(&descriptor);
        if work == Work::Operation {
            self.call.encode_in_pass(&mut pass);
        } else {
            pass.set_pipeline(&self.copy.0);
            pass.set_bind_group(0, &self.copy.1, &[]);
            pass.dispatch_workgroups(self.output.size().div_ceil(COPIED) as u32, 1, 1);
        }
        drop(pass);
        if let Some(stamps) = &self.stamps {
            encoder.resolve_query_set(&stamps.set, 0..2, &stamps.resolved, 0);
        }
        self.gpu.queue().submit([encoder.finish()]);
        self.wait();
        let wall = start.elapsed();
        self.stamps.as_ref().map_or(wall, |stamps| stamps.elapsed(self))
    }

    /// What the times go by.
    pub fn clock(gpu: &Gpu) -> &'static str {
        if gpu.device().features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            "timestamps"
        } else {
            "wall clock"
        }
    }

    /// Recording some calls, into one pass that is never submitted.
    pub fn encode(&self, calls: u64) -> Duration {
        let mut encoder = self.encoder();
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        let start = Instant::now();
        (0..calls).for_each(|_| self.call.encode_in_pass(&mut pass));
        start.elapsed()
    }

    /// A whole command buffer of one call, that is never submitted.
    pub fn record(&self) -> wgpu::CommandBuffer {
        let mut encoder = self.encoder();
        self.call.encode(&mut encoder);
        encoder.finish()
    }

    fn encoder(&self) -> wgpu::CommandEncoder {
        self.gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
    }

    fn wait(&self) {
        let device = self.gpu.device();
        device.poll(wgpu::PollType::wait_indefinitely()).expect("it finishes");
    }
}

fn prepare<T: Number>(
    gpu: &Gpu,
    op: Op,
    batch: &Batch<T>,
    [logits, targets, output]: [&wgpu::Buffer; 3],
) -> Call {
    let Shape { rows, classes } = batch.shape;
    let matrix =
        |buffer| MatrixBuffer::new(buffer, rows as u64, classes as u64).with_dtype(T::DTYPE);
    let (logits, output) = (matrix(logits), OutputBuffer::Separate(matrix(output)));
    let targets = TargetsBuffer::I32(VectorBuffer::new(targets));
    let buffers = CrossEntropyBuffers::new(logits, targets)
        .with_upstream(UpstreamBuffer::Scalar(batch.upstream as f32));
    let call = match op {
        Op::Loss => gpu.prepare_blocking(&CrossEntropy::new(), buffers),
        Op::LossGradient | Op::LossGradientInPlace => {
            let op = CrossEntropy::new().with_gradient();
            gpu.prepare_blocking(&op, buffers.with_dlogits(output))
        }
        Op::Softmax => gpu.prepare_blocking(&Softmax, TransformBuffers::new(logits, output)),
        Op::LogSoftmax => gpu.prepare_blocking(&LogSoftmax, TransformBuffers::new(logits, output)),
    };
    call.expect("the buffers are sound")
}

fn copy(
    gpu: &Gpu,
    source: &wgpu::Buffer,
    destination: &wgpu::Buffer,
) -> (wgpu::ComputePipeline, wgpu::BindGroup) {
    let device = gpu.device();
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some("copy"),
        source: wgpu::ShaderSource::Wgsl(COPY.into()),
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some("copy"),
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions::default(),
        cache: None,
    });
    let entry = |binding, resource| wgpu::BindGroupEntry { binding, resource };
    let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some("copy"),
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[entry(0, source.as_entire_binding()), entry(1, destination.as_entire_binding())],
    });
    (pipeline, bind_group)
}

impl Stamps {
    fn new(gpu: &Gpu) -> Option<Self> {
        let device = gpu.device();
        if !device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return None;
        }
        let set = device.create_query_set(&wgpu::QuerySetDescriptor {
            label: None,
            ty: wgpu::QueryType::Timestamp,
            count: 2,
        });
        let resolved = device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 16,
            usage: BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        let nanoseconds = f64::from(gpu.queue().get_timestamp_period());
        Some(Self { set, resolved, nanoseconds })
    }

    /// # Panics
    /// If the clock stands still: its times would be none.
    fn elapsed(&self, resident: &Resident) -> Duration {
        let (device, queue) = (resident.gpu.device(), resident.gpu.queue());
        let (sender, receiver) = std::sync::mpsc::channel();
        wgpu::util::DownloadBuffer::read_buffer(
            device,
            queue,
            &self.resolved.slice(..),
            move |got| {
                let got = got.expect("it can be read");
                let stamps: [u64; 2] = bytemuck::pod_read_unaligned(&got);
                sender.send(stamps).expect("somebody waits");
            },
        );
        resident.wait();
        let [from, to] = receiver.recv().expect("it is read");
        assert!(to > from, "the GPU's clock stands still; run this without timestamps");
        Duration::from_secs_f64(1e-9 * (to - from) as f64 * self.nanoseconds)
    }
}
