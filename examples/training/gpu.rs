//! The linear model on a GPU: everything of a training step is recorded into one encoder and
//! submitted once; nothing comes back but the loss, every so many steps, and the weights in the end.

use surprisal::Device;
use surprisal::gpu::{Call, Gpu};
use surprisal::wgpu::{self, BufferUsages, util::DeviceExt as _};

use super::data::Table;
use super::loss::Loss;
use super::{Result, Schedule, Trained};

/// A GPU with the two kernels of `linear.wgsl`.
#[derive(Debug)]
pub struct Bench {
    pub device: Device,
    pub gpu: Gpu,
    forward: wgpu::ComputePipeline,
    descend: wgpu::ComputePipeline,
}

impl Bench {
    pub fn new(device: Device) -> Result<Self> {
        let gpu = device.as_gpu().ok_or("a GPU is wanted")?.clone();
        let module = gpu.device().create_shader_module(wgpu::include_wgsl!("linear.wgsl"));
        let pipeline = |entry_point| {
            gpu.device().create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(entry_point),
                layout: None,
                module: &module,
                entry_point: Some(entry_point),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                cache: None,
            })
        };
        let (forward, descend) = (pipeline("forward"), pipeline("descend"));
        Ok(Self { device, gpu, forward, descend })
    }

    /// A buffer with its contents.
    pub fn buffer<T: bytemuck::NoUninit>(&self, contents: &[T]) -> wgpu::Buffer {
        self.gpu.device().create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: None,
            contents: bytemuck::cast_slice(contents),
            usage: BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::UNIFORM,
        })
    }

    /// What a buffer holds once everything submitted so far is done.
    fn read(&self, buffer: &wgpu::Buffer) -> Result<Vec<f32>> {
        let (device, queue) = (self.gpu.device(), self.gpu.queue());
        let staging = device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: buffer.size(),
            usage: BufferUsages::MAP_READ | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = self.encoder();
        encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, buffer.size());
        queue.submit([encoder.finish()]);
        let (sender, receiver) = std::sync::mpsc::channel();
        staging.map_async(wgpu::MapMode::Read, .., move |outcome| drop(sender.send(outcome)));
        device.poll(wgpu::PollType::wait_indefinitely())?;
        receiver.recv()??;
        Ok(bytemuck::pod_collect_to_vec(&staging.get_mapped_range(..)?))
    }

    fn encoder(&self) -> wgpu::CommandEncoder {
        self.gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
    }

    /// A kernel of `linear.wgsl` with its buffers, one invocation to each of `items`.
    fn bind(
        &self,
        pipeline: &wgpu::ComputePipeline,
        buffers: [&wgpu::Buffer; 4],
        items: usize,
    ) -> Dispatch {
        let entries: Vec<_> = (0..)
            .zip(buffers)
            .map(|(binding, buffer)| wgpu::BindGroupEntry {
                binding,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        let bind_group = self.gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        Dispatch { pipeline: pipeline.clone(), bind_group, workgroups: items.div_ceil(64) as u32 }
    }
}

struct Dispatch {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    workgroups: u32,
}

impl Dispatch {
    fn encode(&self, encoder: &mut wgpu::CommandEncoder) {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bind_group, &[]);
        pass.dispatch_workgroups(self.workgroups, 1, 1);
    }
}

/// A loss bound to the scores, and its gradient written over them.
#[derive(Debug)]
pub struct Bound {
    pub calls: Vec<Call>,
    /// The call that the loss is read from, and what it is multiplied by.
    pub loss: (usize, f64),
}

impl Bound {
    fn read(&self) -> Result<f64> {
        let (call, factor) = self.loss;
        Ok(f64::from(self.calls[call].read_summary_blocking()?.loss) * factor)
    }
}

pub fn train(
    bench: &Bench,
    table: &Table,
    start: &[f32],
    loss: &Loss<'_>,
    schedule: Schedule,
) -> Result<Trained> {
    let (rows, outputs) = (table.rows(), start.len() / (table.columns + 1));
    let numbers = [rows, table.columns, outputs].map(|n| n as u32);
    let shape = bench.buffer(&[numbers[0], numbers[1], numbers[2], schedule.rate.to_bits()]);
    let features = bench.buffer(&table.features);
    let weight = bench.buffer(start);
    let scores = bench.buffer(&vec![0.0f32; rows * outputs]);

    let buffers = [&shape, &features, &weight, &scores];
    let forward = bench.bind(&bench.forward, buffers, rows * outputs);
    let descend = bench.bind(&bench.descend, buffers, start.len());
    let bound = loss.bind(bench, &scores, [rows as u64, outputs as u64])?;

    let mut losses = Vec::new();
    for step in 0..schedule.steps {
        let mut encoder = bench.encoder();
        forward.encode(&mut encoder);
        for call in &bound.calls {
            call.encode(&mut encoder);
        }
        descend.encode(&mut encoder);
        bench.gpu.queue().submit([encoder.finish()]);
        if step.is_multiple_of(schedule.read_every) {
            losses.push(bound.read()?);
        }
    }
    Ok(Trained { losses, weight: bench.read(&weight)? })
}
