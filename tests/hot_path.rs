//! What a prepared call does every step: nothing is created, and passes can be shared.

mod common;

use common::bench::{Bench, assert_close, case};
use common::cases::Case;
use common::reference;
use surprisal::gpu::{
    Call, CrossEntropyBuffers, MatrixBuffer, OutputBuffer, TargetsBuffer, TransformBuffers,
    VectorBuffer,
};
use surprisal::wgpu::{self, ComputePassDescriptor};
use surprisal::{CrossEntropy, CrossEntropyInput, Dtype, Reduction, Softmax};

/// A matrix of zeros, and as many targets.
fn prepared(bench: &Bench, rows: u64, classes: u64, dtype: Dtype) -> [Call; 2] {
    let elements = rows * classes;
    let zeros = vec![0u32; (elements * dtype.size() as u64).div_ceil(4) as usize];
    let (logits, output) = (bench.buffer(&zeros), bench.buffer(&zeros));
    let targets = bench.buffer(&vec![0i32; rows as usize]);
    let matrix = |buffer| MatrixBuffer::new(buffer, rows, classes).with_dtype(dtype);
    let targets = TargetsBuffer::I32(VectorBuffer::new(&targets));
    let buffers = CrossEntropyBuffers::new(matrix(&logits), targets)
        .with_dlogits(OutputBuffer::Separate(matrix(&output)));
    let loss = CrossEntropy::new().with_gradient().with_reduction(Reduction::Mean);
    let softmax = TransformBuffers::new(matrix(&logits), OutputBuffer::InPlace);
    [bench.gpu.prepare_blocking(&loss, buffers), bench.gpu.prepare_blocking(&Softmax, softmax)]
        .map(|call| call.expect("the buffers are sound"))
}

/// How many there are of everything that a backend can create but command buffers.
fn created(device: &wgpu::Device) -> [isize; 8] {
    let counters = device.get_internal_counters().hal;
    [
        counters.buffers.read(),
        counters.bind_groups.read(),
        counters.bind_group_layouts.read(),
        counters.compute_pipelines.read(),
        counters.pipeline_layouts.read(),
        counters.shader_modules.read(),
        counters.buffer_memory.read(),
        counters.memory_allocations.read(),
    ]
}

#[test]
fn nothing_is_created_when_a_call_is_encoded_again() {
    // 16-bit rows that share words need more bindings than every device has.
    let bench = Bench { gpu: common::gpu() };
    let device = bench.gpu.device();
    // A lane a row, a workgroup a row, 16-bit rows that share words, and rows that are split.
    let calls: Vec<_> = [
        (64, 10, Dtype::F32),
        (9, 1000, Dtype::F32),
        (5, 77, Dtype::Bf16),
        (1, 40_000, Dtype::F32),
    ]
    .into_iter()
    .flat_map(|(rows, classes, dtype)| prepared(&bench, rows, classes, dtype))
    .collect();
    let wait = || device.poll(wgpu::PollType::wait_indefinitely()).expect("it finishes");
    let encode = |encoder: &mut wgpu::CommandEncoder| {
        for call in &calls {
            call.encode(encoder);
        }
    };
    // Buffers are cleared when they are used for the first time.
    bench.submit(encode);
    wait();

    let before = created(device);
    let probe = bench.gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 4,
        usage: wgpu::BufferUsages::STORAGE,
        mapped_at_creation: false,
    });
    assert_eq!(created(device)[0], before[0] + 1, "the counter counts");
    drop(probe);

    let before = created(device);
    for _ in 0..10 {
        let descriptor = wgpu::CommandEncoderDescriptor::default();
        let mut encoder = device.create_command_encoder(&descriptor);
        encode(&mut encoder);
        // What a command needs lives as long as the encoder.
        assert_eq!(created(device), before, "while it is recorded");
        let commands = encoder.finish();
        assert_eq!(created(device), before, "once it is recorded");
        bench.gpu.queue().submit([commands]);
        wait();
        assert_eq!(created(device), before, "once it has run");
    }
}

#[test]
fn calls_share_a_pass() {
    let bench = Bench::new();
    let op = CrossEntropy::new().with_gradient();
    let cases = [case(7, 33), case(40, 5)];
    let buffers = cases.each_ref().map(|case: &Case| {
        let targets: Vec<i32> = case.targets.iter().map(|&y| y as i32).collect();
        (bench.buffer(&case.logits), bench.buffer(&targets))
    });
    let calls: Vec<_> = cases
        .iter()
        .zip(&buffers)
        .map(|(case, (logits, targets))| {
            let (rows, classes) = (case.matrix().rows() as u64, case.matrix().columns() as u64);
            let logits = MatrixBuffer::new(logits, rows, classes);
            let targets = TargetsBuffer::I32(VectorBuffer::new(targets));
            let buffers = CrossEntropyBuffers::new(logits, targets);
            let buffers = buffers.with_dlogits(OutputBuffer::InPlace);
            bench.gpu.prepare_blocking(&op, buffers).expect("the buffers are sound")
        })
        .collect();
    bench.submit(|encoder| {
        let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor::default());
        for call in &calls {
            call.encode_in_pass(&mut pass);
        }
    });
    for (case, (logits, _)) in cases.iter().zip(&buffers) {
        let input = CrossEntropyInput::new(case.matrix(), &case.targets[..]);
        let want = reference::cross_entropy(&op, &input).expect("the case is sound");
        let want = want.dlogits.expect("asked for").to_f64();
        assert_close(&bench.read::<f32>(logits), &want);
    }
}
