//! Cross-entropy with its gradient, and softmax, on the GPU and on the CPU path.
//!
//!     cargo bench --bench gpu
//!
//! GPU figures are for data that is resident, from the submission to its end by the wall clock;
//! they do not include the transfer of logits or results. The CPU path writes to memory that is
//! reused. Throughput counts the ideal bytes: each logit read once and its result written once.
//! Every answer is checked against the reference before it is timed.

mod common;

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use surprisal::cpu::InstructionSet;
use surprisal::gpu::{
    Call, CrossEntropyBuffers, Gpu, MatrixBuffer, OutputBuffer, TargetsBuffer, TransformBuffers,
    VectorBuffer,
};
use surprisal::wgpu::{self, BufferUsages, util::DeviceExt as _};
use surprisal::{CrossEntropy, Device, Softmax};

use common::check::Want;
use common::contest::{Contest, Op};
use common::data::{Batch, Shape};
use common::ours;

/// The buffers of a batch on a GPU.
struct Resident {
    gpu: Gpu,
    shape: Shape,
    logits: wgpu::Buffer,
    targets: wgpu::Buffer,
    output: wgpu::Buffer,
}

impl Resident {
    fn new(gpu: &Gpu, batch: &Batch<f32>) -> Self {
        let buffer = |contents: &[u8]| {
            gpu.device().create_buffer_init(&wgpu::util::BufferInitDescriptor {
                label: None,
                contents,
                usage: BufferUsages::STORAGE | BufferUsages::COPY_SRC,
            })
        };
        let logits = bytemuck::cast_slice(&batch.logits);
        Self {
            gpu: gpu.clone(),
            shape: batch.shape,
            logits: buffer(logits),
            targets: buffer(bytemuck::cast_slice(&batch.targets)),
            output: buffer(logits),
        }
    }

    fn matrix<'a>(&self, buffer: &'a wgpu::Buffer) -> MatrixBuffer<'a> {
        MatrixBuffer::new(buffer, self.shape.rows as u64, self.shape.classes as u64)
    }

    fn prepare(&self, op: Op) -> Call {
        let output = OutputBuffer::Separate(self.matrix(&self.output));
        let logits = self.matrix(&self.logits);
        let call = if op == Op::Softmax {
            self.gpu.prepare_blocking(&Softmax, TransformBuffers { logits, output })
        } else {
            let targets = TargetsBuffer::I32(VectorBuffer::new(&self.targets));
            let buffers = CrossEntropyBuffers::new(logits, targets).with_dlogits(output);
            self.gpu.prepare_blocking(&CrossEntropy::new().with_gradient(), buffers)
        };
        call.expect("the buffers are sound")
    }

    fn check(&self, op: Op, call: &Call, want: Want) {
        if op == Op::LossGradient {
            let summary = call.read_summary_blocking().expect("sound");
            want.expect_loss("gpu", f64::from(summary.loss));
        }
        let (device, queue) = (self.gpu.device(), self.gpu.queue());
        wgpu::util::DownloadBuffer::read_buffer(
            device,
            queue,
            &self.output.slice(..),
            move |got| {
                let got = got.expect("it can be read");
                want.expect_matrix("gpu", bytemuck::cast_slice::<_, f32>(&got).iter().copied());
            },
        );
        device.poll(wgpu::PollType::wait_indefinitely()).expect("it finishes");
    }

    fn run(&self, call: &Call) {
        let descriptor = wgpu::CommandEncoderDescriptor::default();
        let mut encoder = self.gpu.device().create_command_encoder(&descriptor);
        call.encode(&mut encoder);
        self.gpu.queue().submit([encoder.finish()]);
        self.gpu.device().poll(wgpu::PollType::wait_indefinitely()).expect("it finishes");
    }
}

fn bench(criterion: &mut Criterion, device: &Device, op: Op, shape: Shape) {
    let mut group = criterion.benchmark_group(format!("{} {shape}", op.name()));
    group.throughput(Throughput::Bytes((op.passes() * 4 * shape.len()) as u64));
    group.sample_size(10).warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(2));

    let best = Device::cpu_with(InstructionSet::best()).expect("this processor has it");
    let mut cpu = Contest::<f32>::new(op, shape, vec![ours::contestant(op, best)]);
    cpu.check(0);
    group.bench_function("cpu", |bencher| {
        bencher.iter_custom(|times| (0..times).map(|_| cpu.time(0)).sum());
    });
    drop(cpu);

    let batch = Batch::new(shape);
    let resident = Resident::new(device.as_gpu().expect("it is one"), &batch);
    let call = resident.prepare(op);
    resident.run(&call);
    resident.check(op, &call, Want::new(op, &batch));
    let name = device.info().to_string();
    group.bench_function(name, |bencher| bencher.iter(|| resident.run(&call)));
    group.finish();
}

fn benches(criterion: &mut Criterion) {
    let device = Device::gpu().expect("the benchmark compares with a GPU");
    for shape in Shape::LARGE {
        for op in [Op::LossGradient, Op::Softmax] {
            bench(criterion, &device, op, shape);
        }
    }
}

criterion_group!(all, benches);
criterion_main!(all);
