//! Products of matrices on the GPU, beside the most multiplications and additions that it can do: a
//! kernel that does nothing else, in registers.
//!
//!     cargo bench --bench products
//!     cargo bench --bench products -- 2048x2048x2048 512x256x32000
//!
//! Shapes are rows x columns x depth. Then what a linear layer's cross-entropy takes with its gradients, of
//! which some rows are ignored. Resident, f32, by the wall clock from a submission to its end; the
//! least of some rounds. Results are compared elsewhere (`tests/products.rs`).

#![allow(clippy::print_stdout, reason = "a table is what it is for")]

use std::time::{Duration, Instant};

use surprisal::gpu::plan::{Operand, Product, Region, Role};
use surprisal::gpu::{
    Form, Gpu, LinearCrossEntropyBuffers, MatrixBuffer, Slot, Start, TargetsBuffer, Tile,
    VectorBuffer,
};
use surprisal::wgpu::{self, BufferUsages};
use surprisal::{CrossEntropy, Device, Dtype, LinearCrossEntropy};

const ROUNDS: usize = 7;
const SHAPES: [&str; 3] = ["512x512x512", "1024x1024x1024", "256x8192x256"];
/// Eight vectors of four sums to a lane, none of which waits for another.
const PEAK: &str = "
    @group(0) @binding(0) var<storage, read_write> sums: array<vec4<f32>>;

    @compute @workgroup_size(64)
    fn main(@builtin(global_invocation_id) id: vec3<u32>) {
        let x = vec4<f32>(f32(id.x)) * 1e-9;
        let y = x + 0.5;
        var a = x; var b = y; var c = x; var d = y; var e = x; var f = y; var g = x; var h = y;
        for (var i = 0u; i < 4096u; i++) {
            a = fma(a, x, y); b = fma(b, x, y); c = fma(c, x, y); d = fma(d, x, y);
            e = fma(e, x, y); f = fma(f, x, y); g = fma(g, x, y); h = fma(h, x, y);
        }
        sums[id.x] = a + b + c + d + e + f + g + h;
    }";
/// Operations of one of its lanes.
const PEAK_OPERATIONS: u64 = 4096 * 8 * 4 * 2;

fn timed(gpu: &Gpu, record: impl Fn(&mut wgpu::CommandEncoder)) -> Duration {
    let once = || {
        let mut encoder =
            gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        record(&mut encoder);
        let start = Instant::now();
        gpu.queue().submit([encoder.finish()]);
        gpu.device().poll(wgpu::PollType::wait_indefinitely()).expect("it finishes");
        start.elapsed()
    };
    once();
    (0..ROUNDS).map(|_| once()).min().unwrap_or_default()
}

fn buffer(gpu: &Gpu, bytes: u64) -> wgpu::Buffer {
    gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: bytes,
        usage: BufferUsages::STORAGE | BufferUsages::COPY_DST,
        mapped_at_creation: false,
    })
}

/// Operations a second, in 10^9.
fn peak(gpu: &Gpu) -> f64 {
    let device = gpu.device();
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: None,
        source: wgpu::ShaderSource::Wgsl(PEAK.into()),
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: None,
        compilation_options: wgpu::PipelineCompilationOptions::default(),
        cache: None,
    });
    let groups: u32 = if gpu.caps().software { 64 } else { 16_384 };
    let sums = buffer(gpu, u64::from(groups) * 64 * 16);
    let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[wgpu::BindGroupEntry { binding: 0, resource: sums.as_entire_binding() }],
    });
    let time = timed(gpu, |encoder| {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(groups, 1, 1);
    });
    (u64::from(groups) * 64 * PEAK_OPERATIONS) as f64 / time.as_secs_f64() / 1e9
}

fn product(gpu: &Gpu, form: Form, [rows, columns, depth]: [u64; 3]) -> f64 {
    let operand = |slot, width| Operand {
        role: Role::Slot(slot),
        region: Region { offset: 0, row_stride: width, dtype: Dtype::F32 },
    };
    let left = if form == Form::LeftTransposed { rows } else { depth };
    let right = if form == Form::RightTransposed { depth } else { columns };
    let product = Product {
        form,
        rows,
        columns,
        depth,
        left: operand(Slot::Input, left),
        right: operand(Slot::Second, right),
        output: operand(Slot::Output, columns),
        start: Start::Zero,
        bias: None,
    };
    let buffers = [
        (product.left.role, &buffer(gpu, rows * depth * 4)),
        (product.right.role, &buffer(gpu, columns * depth * 4)),
        (product.output.role, &buffer(gpu, rows * columns * 4)),
    ];
    let call = pollster::block_on(gpu.prepare_product(&product, &buffers)).expect("it fits");
    let time = timed(gpu, |encoder| call.encode(encoder));
    (2 * rows * columns * depth) as f64 / time.as_secs_f64() / 1e9
}

/// Milliseconds of a layer's loss and gradients, of whose rows so many in ten are ignored.
fn layer(gpu: &Gpu, [rows, classes, width]: [u64; 3], ignored: u64) -> f64 {
    let targets: Vec<i64> =
        (0..rows).map(|row| if row % 10 < ignored { -100 } else { 1 }).collect();
    let of_targets = buffer(gpu, rows * 8);
    gpu.queue().write_buffer(&of_targets, 0, bytemuck::cast_slice(&targets));
    let matrices = [rows, classes, rows, classes].map(|rows| buffer(gpu, rows * width * 4));
    let [hidden, weight, dhidden, dweight] = &matrices;
    let matrix = |buffer, rows| MatrixBuffer::new(buffer, rows, width);
    let targets = TargetsBuffer::I64(VectorBuffer::new(&of_targets));
    let buffers =
        LinearCrossEntropyBuffers::new(matrix(hidden, rows), matrix(weight, classes), targets)
            .with_dhidden(matrix(dhidden, rows))
            .with_dweight(matrix(dweight, classes));
    let op = LinearCrossEntropy::new(CrossEntropy::new()).with_gradient();
    let call = gpu.prepare_blocking(&op, buffers).expect("it fits");
    1e3 * timed(gpu, |encoder| call.encode(encoder)).as_secs_f64()
}

fn shape(text: &str) -> [u64; 3] {
    let sizes: Vec<u64> =
        text.split('x').map(|n| n.parse().expect("rows x columns x depth")).collect();
    sizes.try_into().expect("three sizes")
}

fn main() {
    let given: Vec<_> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let shapes = if given.is_empty() { SHAPES.map(str::to_owned).to_vec() } else { given };
    let device = Device::gpu().expect("it measures a GPU");
    let gpu = device.as_gpu().expect("it is one");
    let peak = peak(gpu);
    println!("{}; {peak:.1} GFLOP/s in registers\n", device.info());
    println!("| rows x columns x depth | tile | A B^T | A B | A^T B | of the peak |");
    println!("|---|---|---|---|---|---|");
    for text in &shapes {
        for tile in [Tile::Slim, Tile::Medium, Tile::Large] {
            let mut tuning = gpu.tuning();
            tuning.product_tile = tile;
            let gpu = gpu.with_tuning(tuning);
            let forms = [Form::RightTransposed, Form::Plain, Form::LeftTransposed];
            let rates = forms.map(|form| product(&gpu, form, shape(text)));
            let [first, second, third] = rates;
            let best = 100.0 * rates.into_iter().fold(0.0, f64::max) / peak;
            println!("| {text} | {tile:?} | {first:.1} | {second:.1} | {third:.1} | {best:.0} % |");
        }
    }
    println!(
        "\n| layer, rows x classes x hidden, ms | no row ignored | half | nine in ten | all |"
    );
    println!("|---|---|---|---|---|");
    for text in &shapes {
        let times = [0, 5, 9, 10].map(|ignored| layer(gpu, shape(text), ignored));
        println!("| {text} | {} |", times.map(|ms| format!("{ms:.1}")).join(" | "));
    }
}
