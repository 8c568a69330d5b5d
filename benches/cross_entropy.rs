//! Cross-entropy with its gradient, and softmax, on the CPU path and on the GPU.
//!
//!     cargo bench --bench cross_entropy
//!
//! GPU figures are for data that is resident, from the submission to its end by the wall clock;
//! they do not include the transfer of logits or results. Throughput counts the ideal bytes: each
//! logit read once and its result written once. Every answer is checked before it is timed.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use surprisal::gpu::{
    Call, CrossEntropyBuffers, Gpu, MatrixBuffer, OutputBuffer, TargetsBuffer, TransformBuffers,
    VectorBuffer,
};
use surprisal::wgpu::{self, BufferUsages, util::DeviceExt as _};
use surprisal::{Array, CrossEntropy, CrossEntropyInput, Device, Matrix, Softmax};

const SHAPES: [(usize, usize); 4] = [(65_536, 128), (16_384, 1000), (1024, 32_000), (256, 128_256)];

struct Data {
    rows: usize,
    classes: usize,
    logits: Vec<f32>,
    targets: Vec<i32>,
}

impl Data {
    fn new(rows: usize, classes: usize) -> Self {
        // A multiplicative congruence, spread over [-4, 4).
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as f32 / (1 << 21) as f32 - 4.0
        };
        let logits = (0..rows * classes).map(|_| next()).collect();
        let class = |row| i32::try_from(row * 7 % classes).expect("classes are few");
        let targets = (0..rows).map(class).collect();
        Self { rows, classes, logits, targets }
    }

    fn matrix(&self) -> Matrix<'_> {
        Matrix::new(&self.logits, self.rows, self.classes).expect("its shape")
    }

    fn input(&self) -> CrossEntropyInput<'_> {
        CrossEntropyInput::new(self.matrix(), &self.targets)
    }
}

/// The buffers of a batch on a GPU.
struct Resident {
    gpu: Gpu,
    logits: wgpu::Buffer,
    targets: wgpu::Buffer,
    output: wgpu::Buffer,
}

impl Resident {
    fn new(gpu: &Gpu, data: &Data) -> Self {
        let buffer = |contents: &[u8]| {
            gpu.device().create_buffer_init(&wgpu::util::BufferInitDescriptor {
                label: None,
                contents,
                usage: BufferUsages::STORAGE | BufferUsages::COPY_SRC,
            })
        };
        let logits = bytemuck::cast_slice(&data.logits);
        Self {
            gpu: gpu.clone(),
            logits: buffer(logits),
            targets: buffer(bytemuck::cast_slice(&data.targets)),
            output: buffer(logits),
        }
    }

    fn cross_entropy(&self, data: &Data) -> Call {
        let matrix = |buffer| MatrixBuffer::new(buffer, data.rows as u64, data.classes as u64);
        let targets = TargetsBuffer::I32(VectorBuffer::new(&self.targets));
        let buffers = CrossEntropyBuffers::new(matrix(&self.logits), targets)
            .with_dlogits(OutputBuffer::Separate(matrix(&self.output)));
        let op = CrossEntropy::new().with_gradient();
        self.gpu.prepare_blocking(&op, buffers).expect("the buffers are sound")
    }

    fn softmax(&self, data: &Data) -> Call {
        let matrix = |buffer| MatrixBuffer::new(buffer, data.rows as u64, data.classes as u64);
        let output = OutputBuffer::Separate(matrix(&self.output));
        let buffers = TransformBuffers { logits: matrix(&self.logits), output };
        self.gpu.prepare_blocking(&Softmax, buffers).expect("the buffers are sound")
    }

    /// The output on the GPU is this, within rounding.
    fn check(&self, want: &[f32]) {
        let want = want.to_vec();
        let (device, queue) = (self.gpu.device(), self.gpu.queue());
        wgpu::util::DownloadBuffer::read_buffer(
            device,
            queue,
            &self.output.slice(..),
            move |got| {
                let got = got.expect("it can be read");
                let got: &[f32] = bytemuck::cast_slice(&got);
                let close =
                    |(got, want): (&f32, &f32)| (got - want).abs() <= 1e-4 * want.abs() + 1e-9;
                assert!(got.iter().zip(&want).all(close), "the answer is wrong");
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

fn group<'a>(
    criterion: &'a mut Criterion,
    op: &str,
    data: &Data,
) -> BenchmarkGroup<'a, criterion::measurement::WallTime> {
    let mut group = criterion.benchmark_group(format!("{op} {}x{}", data.rows, data.classes));
    group.throughput(Throughput::Bytes(8 * (data.rows * data.classes) as u64));
    group.sample_size(10).warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(2));
    group
}

fn benches(criterion: &mut Criterion) {
    let gpu_device = Device::gpu().expect("the benchmark compares with a GPU");
    let gpu = gpu_device.as_gpu().expect("it is one").clone();
    let gpu_name = gpu_device.info().to_string();
    let cpu = Device::cpu();
    for (rows, classes) in SHAPES {
        let data = Data::new(rows, classes);
        let resident = Resident::new(&gpu, &data);
        let op = CrossEntropy::new().with_gradient();

        let mut loss = group(criterion, "loss+gradient", &data);
        let call = resident.cross_entropy(&data);
        resident.run(&call);
        let on_gpu = f64::from(call.read_summary_blocking().expect("sound").loss);
        let output = cpu.run(&op, data.input()).expect("sound");
        resident.check(output.dlogits.as_ref().and_then(Array::as_f32).expect("asked for"));
        let on_cpu = output.loss.reduced().expect("a mean");
        assert!((on_gpu - on_cpu).abs() < 1e-5 * on_cpu, "{on_gpu} and {on_cpu}");
        loss.bench_function("cpu", |b| b.iter(|| black_box(cpu.run(&op, data.input()))));
        loss.bench_function(&gpu_name, |b| b.iter(|| resident.run(&call)));
        loss.finish();

        let mut softmax = group(criterion, "softmax", &data);
        let call = resident.softmax(&data);
        resident.run(&call);
        let probs = cpu.run(&Softmax, data.matrix()).expect("sound");
        resident.check(probs.as_f32().expect("the logits are f32"));
        softmax.bench_function("cpu", |b| b.iter(|| black_box(cpu.run(&Softmax, data.matrix()))));
        softmax.bench_function(&gpu_name, |b| b.iter(|| resident.run(&call)));
        softmax.finish();
    }
}

criterion_group!(all, benches);
criterion_main!(all);
