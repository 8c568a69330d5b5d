//! A device of one's own, with the limits of every device and no features, and buffers on it.

use surprisal::gpu::Gpu;
use surprisal::wgpu;
use surprisal::wgpu::BufferUsages as Usage;

use super::cases::{Case, Family};

/// A device as an application would open it: WebGPU's default limits, no features.
pub fn plain_device() -> (wgpu::Device, wgpu::Queue) {
    let gpu = super::gpu();
    let name = gpu.device().adapter_info().name;
    let adapters = pollster::block_on(surprisal::adapters());
    let adapter = adapters.into_iter().find(|a| a.get_info().name == name).expect("as before");
    let descriptor = wgpu::DeviceDescriptor {
        required_limits: wgpu::Limits::downlevel_defaults(),
        ..Default::default()
    };
    pollster::block_on(adapter.request_device(&descriptor)).expect("every device has these")
}

#[derive(Debug)]
pub struct Bench {
    pub gpu: Gpu,
}

impl Bench {
    pub fn new() -> Self {
        let (device, queue) = plain_device();
        Self { gpu: Gpu::new(&device, &queue) }
    }

    pub fn buffer<T: bytemuck::Pod>(&self, contents: &[T]) -> wgpu::Buffer {
        let bytes = bytemuck::cast_slice::<T, u8>(contents);
        let buffer = self.gpu.device().create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: bytes.len() as u64,
            usage: Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST,
            mapped_at_creation: false,
        });
        self.gpu.queue().write_buffer(&buffer, 0, bytes);
        buffer
    }

    pub fn submit(&self, record: impl FnOnce(&mut wgpu::CommandEncoder)) {
        let descriptor = wgpu::CommandEncoderDescriptor::default();
        let mut encoder = self.gpu.device().create_command_encoder(&descriptor);
        record(&mut encoder);
        self.gpu.queue().submit([encoder.finish()]);
    }

    pub fn read<T: bytemuck::Pod>(&self, buffer: &wgpu::Buffer) -> Vec<T> {
        let staging = self.gpu.device().create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: buffer.size(),
            usage: Usage::MAP_READ | Usage::COPY_DST,
            mapped_at_creation: false,
        });
        self.submit(|encoder| encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, buffer.size()));
        staging.map_async(wgpu::MapMode::Read, .., |result| result.expect("it can be mapped"));
        self.gpu.device().poll(wgpu::PollType::wait_indefinitely()).expect("it finishes");
        let view = staging.get_mapped_range(..).expect("it is mapped");
        bytemuck::pod_collect_to_vec(&view)
    }
}

pub fn assert_close(got: &[f32], want: &[f64]) {
    assert_eq!(got.len(), want.len());
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let got = f64::from(*got);
        let close = (got - want).abs() <= 1e-5 * want.abs() + 1e-7;
        assert!(close || got.is_nan() && want.is_nan(), "[{i}]: got {got}, want {want}");
    }
}

/// A sound case without ignored rows' NaNs, so that plain comparisons do.
pub fn case(rows: usize, classes: usize) -> Case {
    let mut case = Family::Normal.case(rows, classes, 11);
    case.logits.iter_mut().filter(|x| x.is_nan()).for_each(|x| *x = 0.5);
    case
}

/// The matrix inside a larger buffer of 7s: at an offset, with gaps after each row.
pub fn embedded(case: &Case, offset: usize, stride: usize) -> Vec<f32> {
    let mut values = vec![7.0f32; offset + case.rows * stride + 5];
    for row in 0..case.rows {
        let at = offset + row * stride;
        values[at..at + case.classes]
            .copy_from_slice(&case.logits[row * case.classes..(row + 1) * case.classes]);
    }
    values
}

pub fn extract(values: &[f32], case: &Case, offset: usize, stride: usize) -> Vec<f32> {
    (0..case.rows)
        .flat_map(|row| values[offset + row * stride..][..case.classes].to_vec())
        .collect()
}
