//! A training step in a command encoder of one's own: the logits stay on the GPU, the gradient takes
//! their place, and nothing is submitted but what this program submits.
//!
//!     cargo run --release --example own_encoder

#![expect(clippy::print_stdout, reason = "it is what the example does")]

use surprisal::gpu::{
    CrossEntropyBuffers, Gpu, MatrixBuffer, OutputBuffer, TargetsBuffer, VectorBuffer,
};
use surprisal::wgpu::{self, BufferUsages, util::DeviceExt as _};
use surprisal::{CrossEntropy, Device};

const ROWS: u64 = 4;
const CLASSES: u64 = 3;

fn main() -> surprisal::Result<()> {
    // Stands in for the device that a program already has.
    let owner = Device::gpu()?;
    let Some(gpu) = owner.as_gpu() else { return Ok(()) };
    let (device, queue) = (gpu.device().clone(), gpu.queue().clone());
    println!("{}", owner.info());

    let logits: [f32; 12] = [2.0, 1.0, 0.1, 0.3, 0.2, 3.0, 1.0, 1.0, 1.0, 0.0, 5.0, 0.0];
    let targets: [i32; 4] = [0, 2, -100, 1];
    let buffer = |contents: &[u8]| {
        device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: None,
            contents,
            usage: BufferUsages::STORAGE | BufferUsages::COPY_SRC,
        })
    };
    let logits = buffer(bytemuck::cast_slice(&logits));
    let targets = buffer(bytemuck::cast_slice(&targets));

    // Once: plan, compile, bind.
    let surprisal = Gpu::new(&device, &queue);
    let buffers = CrossEntropyBuffers::new(
        MatrixBuffer::new(&logits, ROWS, CLASSES),
        TargetsBuffer::I32(VectorBuffer::new(&targets)),
    )
    .with_dlogits(OutputBuffer::InPlace);
    let call = surprisal.prepare_blocking(&CrossEntropy::new().with_gradient(), buffers)?;

    // Every step: record between the passes of one's own, submit when it suits.
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    call.encode(&mut encoder);
    queue.submit([encoder.finish()]);

    let summary = call.read_summary_blocking()?;
    println!("mean loss {} over {} rows", summary.loss, summary.kept_rows);
    for (row, [loss, lse]) in call.read_stats_blocking()?.iter().enumerate() {
        println!("  row {row}: loss {loss}, log-sum-exp {lse}");
    }
    Ok(())
}
