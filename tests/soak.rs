//! Random operations, shapes, dtypes and devices for as long as one likes, against the reference; and
//! whether memory stays what it is. `scripts/soak.sh` runs it.
//!
//! What this process's Rust code holds is counted by the byte: when all devices are closed it has to be
//! what it was. Drivers are not Rust: what they leave behind of every device that is closed is counted with
//! all that malloc gave out, and has a bound, which the control keeps too: wgpu without this crate.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod common;

use std::time::{Duration, Instant};

use common::cases::{Case, Family, Rng};
use common::linear::{self, Layer};
use common::losses::{self, Divergence};
use common::suite::{self, Outcome};
use common::{Subject, cpu_subjects, gpu_subjects, hostile};
use peak_alloc::PeakAlloc;
use surprisal::stream::Batch;
use surprisal::{
    BinaryCrossEntropy, CrossEntropy, CrossEntropyInput, Dtype, Focal, JsDivergence, KlDivergence,
    LinearCrossEntropy, Matrix, Reduction, Unit, wgpu,
};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Operations before all devices are closed and opened again.
const ROUNDS: usize = 40;
/// Buffers that a device keeps between two calls, at most.
const POOLED: isize = 6;
/// Pipelines of a device of the control: about as many as are compiled for a round's operations.
const CONTROL_PIPELINES: usize = 100;

fn pick<T: Copy>(rng: &mut Rng, of: &[T]) -> T {
    of[rng.below(of.len())]
}

/// A batch of up to 40 rows of up to 6000 classes, short rows as likely as long ones.
fn case(rng: &mut Rng) -> Case {
    const FAMILIES: [Family; 7] = [
        Family::Normal,
        Family::Confident,
        Family::Shifted,
        Family::Masked,
        Family::Sorted,
        Family::Ties,
        Family::Special,
    ];
    #[expect(clippy::cast_sign_loss, reason = "a power of a positive number")]
    let classes = 6000f64.powf(rng.uniform()) as usize;
    let rows = 1 + rng.below(40.min(1 + 40_000 / classes));
    let seed = rng.next_u64();
    pick(rng, &FAMILIES).case(rows, classes, seed)
}

fn reduction(rng: &mut Rng) -> Reduction {
    pick(rng, &[Reduction::Mean, Reduction::Sum, Reduction::None])
}

fn weights(rng: &mut Rng, classes: usize) -> Vec<f64> {
    (0..classes).map(|_| if rng.below(5) == 0 { 0.0 } else { 2.0 * rng.uniform() }).collect()
}

fn options(rng: &mut Rng, classes: usize) -> CrossEntropy {
    let mut op = CrossEntropy::new().with_reduction(reduction(rng));
    if rng.below(3) == 0 {
        op = op.with_class_weights(weights(rng, classes));
    }
    if rng.below(3) == 0 {
        op = op.with_label_smoothing(rng.uniform());
    }
    if rng.below(3) == 0 {
        op = op.with_z_loss(0.1 * rng.uniform());
    }
    if rng.below(3) == 0 {
        op = op.with_softcap(5.0 + 30.0 * rng.uniform()).with_logit_scale(0.5 + rng.uniform());
    }
    op
}

/// A linear layer: whole, in windows of rows, or in blocks of classes.
fn linear_layer(rng: &mut Rng, subject: &Subject) -> Outcome {
    let [rows, width, classes] = [70, 90, 300].map(|most| 1 + rng.below(most));
    let dtype = pick(rng, &[Dtype::F32, Dtype::F16, Dtype::Bf16]);
    let layer = Layer::new(rows, width, classes, dtype);
    let layer = if rng.below(3) == 0 { layer.without_bias() } else { layer };
    let op = LinearCrossEntropy::new(options(rng, classes)).with_gradient();
    let device = &subject.device;
    let output = match rng.below(3) {
        0 => {
            return linear::check(
                subject,
                &layer,
                &op.with_scratch_bytes(1 << (18 + rng.below(4))),
            );
        }
        1 => linear::in_windows(device, &op, &layer, 1 + rng.below(rows)),
        _ => linear::in_blocks(device, &op, &layer, (1 + rng.below(rows), 1 + rng.below(classes))),
    };
    linear::check_output(subject, &layer, &op, &output)
}

/// Windows of a batch give its bits.
fn windows(rng: &mut Rng, subject: &Subject, case: &Case) -> Outcome {
    let error = |error: surprisal::Error| format!("{}: {error}", subject.name);
    let (rows, classes) = (case.rows, case.classes);
    let op = CrossEntropy::new().with_gradient().with_reduction(Reduction::Mean);
    let input = |from: usize, to: usize| {
        let logits = Matrix::new(&case.logits[from * classes..to * classes], to - from, classes);
        logits.map(|logits| CrossEntropyInput::new(logits, &case.targets[from..to]))
    };
    let whole = subject.device.run(&op, input(0, rows).map_err(error)?).map_err(error)?;
    let window = 1 + rng.below(rows);
    let batch = Batch::new(rows, classes, window).with_targets(&case.targets);
    let mut stream = subject.device.stream(&op, batch).map_err(error)?;
    let mut dlogits = Vec::new();
    for from in (0..rows).step_by(window) {
        let window = input(from, rows.min(from + window)).map_err(error)?;
        let part = stream.push(window).map_err(error)?;
        dlogits.extend(part.matrix.iter().flat_map(|part| part.as_bytes().to_vec()));
    }
    let loss = stream.finish().map_err(error)?.loss.map(f64::to_bits);
    let of_whole = whole.dlogits.as_ref().map_or(Vec::new(), |array| array.as_bytes().to_vec());
    if (loss, dlogits) != (whole.loss.reduced().map(f64::to_bits), of_whole) {
        let shape = (rows, classes);
        return Err(format!("{}: windows of {window} rows of {shape:?}", subject.name));
    }
    Ok(())
}

/// One operation, any of them, on one device.
fn operation(rng: &mut Rng, subject: &Subject) -> Outcome {
    let case = case(rng);
    let narrow = || case.in_dtype(Dtype::F16);
    match rng.below(11) {
        0 => suite::check(subject, &case),
        1 => suite::check(subject, &case.in_dtype(pick(rng, &[Dtype::F16, Dtype::Bf16]))),
        2 => suite::with_options(subject, &case, &options(rng, case.classes)),
        3 => {
            let case = losses::without_ignored(case);
            let q = losses::labels(&case, rng.next_u64());
            let op = CrossEntropy::new().with_metrics().with_reduction(reduction(rng));
            losses::cross_entropy(subject, &case, Some(&q), &op)
        }
        4 => {
            let op = Focal::new().with_gamma(pick(rng, &[0.0, 0.5, 2.0]));
            losses::focal(subject, &case, &op.with_reduction(reduction(rng)))
        }
        5 => {
            let teacher = Family::Normal.case(case.rows, case.classes, rng.next_u64());
            let kl = KlDivergence::new().with_reduction(reduction(rng));
            let js = JsDivergence::new().with_reduction(reduction(rng));
            let op = pick(rng, &[Divergence::Kl(kl), Divergence::Js(js)]);
            losses::divergence(subject, &teacher.logits, &case, op)
        }
        6 => losses::entropies(subject, &case, Unit::Nats),
        7 => {
            let case = losses::without_ignored(case);
            let y: Vec<f32> = case.logits.iter().map(|_| rng.uniform() as f32).collect();
            let op = BinaryCrossEntropy::new().with_reduction(reduction(rng));
            losses::elementwise(subject, &case, (&y, None), &op)
        }
        8 => linear_layer(rng, subject),
        9 => windows(rng, subject, &case),
        _ => {
            let len = 40 + rng.below(400);
            let bytes: Vec<u8> = (0..len).map(|_| rng.next_u64() as u8).collect();
            hostile::run(&bytes);
            suite::softmaxes(subject, &narrow())
        }
    }
}

/// MiB that are left when all devices are closed.
#[derive(Debug, Clone, Copy)]
struct Left {
    /// Held by Rust code.
    rust: f64,
    /// Held by all code, drivers too.
    malloc: f64,
    /// Memory of the process, without what malloc could give back.
    resident: f64,
}

/// A number of [`Left`], and by how much it may grow in the second half of the time: once, and each time
/// that devices are closed.
type Bound = (&'static str, fn(&Left) -> f64, f64, f64);

const BOUNDS: [Bound; 3] = [
    ("held by Rust code", |left| left.rust, 0.05, 0.0),
    ("held by all code", |left| left.malloc, 1.0, 0.5),
    ("of the process", |left| left.resident, 16.0, 2.0),
];

impl Left {
    #[expect(unsafe_code, reason = "nobody else tells what malloc gave out")]
    fn now() -> Self {
        const MIB: f64 = (1 << 20) as f64;
        // SAFETY: both are there on Linux with glibc, may be called at any time and take no pointer.
        let info = unsafe {
            libc::malloc_trim(0);
            libc::mallinfo2()
        };
        let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it says so");
        let kib: f64 =
            line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number");
        Self {
            rust: MEMORY.current_usage() as f64 / MIB,
            malloc: (info.uordblks + info.hblkhd) as f64 / MIB,
            resident: kib / 1024.0,
        }
    }
}

fn table(left: &[Left]) -> String {
    let line = |(name, value, ..): &Bound| {
        let values: Vec<_> = left.iter().map(value).collect();
        format!("MiB {name} when devices were closed: {values:.2?}\n")
    };
    BOUNDS.iter().map(line).collect()
}

/// Fails if what was left grew in the second half of the time.
fn expect_flat(left: &[Left]) {
    assert!(left.len() >= 6, "devices were closed {} times, too few to tell", left.len());
    let second = &left[left.len() / 2..];
    let times = (second.len() - 1) as f64;
    for (name, value, once, each) in BOUNDS {
        let grown = value(&second[second.len() - 1]) - value(&second[0]);
        let allowed = once + each * times;
        assert!(grown <= allowed, "memory {name} grew by {grown:.2} MiB; {allowed:.2} are allowed");
    }
}

/// How many buffers and bind groups there are on the subjects' GPU.
fn held(subjects: &[Subject]) -> [isize; 2] {
    let gpu = subjects.iter().find_map(|subject| subject.device.as_gpu()).expect("a GPU");
    gpu.device().poll(wgpu::PollType::wait_indefinitely()).expect("it finishes");
    let counters = gpu.device().get_internal_counters().hal;
    [counters.buffers.read(), counters.bind_groups.read()]
}

/// Between two calls devices hold what is in their pools and nothing else.
fn is_at_rest(subjects: &[Subject], fresh: [isize; 2]) -> Outcome {
    let pools = subjects.iter().filter(|subject| subject.device.as_gpu().is_some()).count();
    let [buffers, groups] = held(subjects);
    if buffers - fresh[0] > POOLED * pools.cast_signed() || groups > fresh[1] {
        return Err(format!(
            "{buffers} buffers, {groups} bind groups in {pools} devices: {fresh:?} at first"
        ));
    }
    Ok(())
}

fn subjects() -> Vec<Subject> {
    let mut subjects = gpu_subjects();
    subjects.extend(cpu_subjects());
    subjects
}

/// Has every thread multiply: from its first product on it keeps a buffer, as large as its cache.
fn warm_threads() {
    let layer = Layer::new(40, 64, 64, Dtype::F32);
    let op = LinearCrossEntropy::new(CrossEntropy::new()).with_gradient();
    let multiply = || {
        let cpus = cpu_subjects();
        linear::check(&cpus[0], &layer, &op).expect("it is within its bounds");
    };
    multiply();
    rayon::broadcast(|_| multiply());
}

/// A number that the environment may give.
fn setting<T: std::str::FromStr>(name: &str, default: T) -> T {
    std::env::var(name).map_or(default, |text| {
        text.parse().unwrap_or_else(|_| panic!("{name} is {text}, which is no number"))
    })
}

#[test]
#[ignore = "it takes as long as it is told to: scripts/soak.sh"]
fn soak() {
    let minutes: f64 = setting("SURPRISAL_SOAK_MINUTES", 1.0);
    let seed = setting("SURPRISAL_SOAK_SEED", 1);
    let (time, clock) = (Duration::from_secs_f64(60.0 * minutes), Instant::now());
    let mut rng = Rng::new(seed);
    let (mut done, mut left, mut failures) = (0, Vec::new(), Vec::new());
    warm_threads();
    while clock.elapsed() < time {
        let subjects = subjects();
        let fresh = held(&subjects);
        for _ in 0..ROUNDS {
            let subject = &subjects[rng.below(subjects.len())];
            failures.extend(operation(&mut rng, subject).err());
            done += 1;
        }
        failures.extend(is_at_rest(&subjects, fresh).err());
        drop(subjects);
        left.push(Left::now());
    }
    println!("{done} operations in {minutes} minutes, seed {seed}, {} failures", failures.len());
    println!("{}", table(&left));
    let shown = failures.iter().take(10).cloned().collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{shown}");
    expect_flat(&left);
}

/// A pipeline of a shader of its own, used once.
fn use_a_pipeline(device: &wgpu::Device, queue: &wgpu::Queue, number: usize) {
    let source = format!(
        "@group(0) @binding(0) var<storage, read_write> x: array<f32>;
         @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
             for (var i = 0u; i < 9u; i++) {{ x[id.x] = x[id.x] * 0.5 + {number}.0; }}
         }}"
    );
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: None,
        source: wgpu::ShaderSource::Wgsl(source.into()),
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: None,
        compilation_options: wgpu::PipelineCompilationOptions::default(),
        cache: None,
    });
    let buffer = device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 4096,
        usage: wgpu::BufferUsages::STORAGE,
        mapped_at_creation: false,
    });
    let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[wgpu::BindGroupEntry { binding: 0, resource: buffer.as_entire_binding() }],
    });
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &bind_group, &[]);
        pass.dispatch_workgroups(16, 1, 1);
    }
    queue.submit([encoder.finish()]);
    device.poll(wgpu::PollType::wait_indefinitely()).expect("it runs");
}

/// What drivers leave behind of devices and pipelines, by wgpu alone.
#[test]
#[ignore = "beside the soak: scripts/soak.sh"]
fn control() {
    let instance = wgpu::InstanceDescriptor::new_without_display_handle_from_env;
    let options = wgpu::RequestAdapterOptions::default();
    let mut left = Vec::new();
    for _ in 0..12 {
        let adapter = wgpu::Instance::new(instance()).request_adapter(&options);
        let adapter = pollster::block_on(adapter).expect("an adapter");
        let opened = adapter.request_device(&wgpu::DeviceDescriptor::default());
        let (device, queue) = pollster::block_on(opened).expect("a device");
        (0..CONTROL_PIPELINES).for_each(|number| use_a_pipeline(&device, &queue, number));
        drop((device, queue, adapter));
        left.push(Left::now());
    }
    println!("{}", table(&left));
    expect_flat(&left);
}
