//! Burn's wgpu backend and surprisal in turns, on the machine's best adapter.
//!
//!     cargo run --release --manifest-path benches/burn/Cargo.toml -- [ROUNDS]
//!
//! Data is on the GPU and stays there; times are by the wall clock, from the call until the device has
//! nothing left to do, for both alike. Each round times everybody once; figures are medians of the
//! rounds, and a ratio is the median of the rounds' ratios. Burn's loss is recorded by its autodiff,
//! and its gradient is that of the mean loss. Answers are checked against the f64 reference: ours have
//! to be right, Burn's are said to be wrong where they are.

use std::process::ExitCode;
use std::time::Instant;

use burn::nn::loss::CrossEntropyLossConfig;
use burn::tensor::activation::softmax;
use burn::tensor::{Device as BurnDevice, DeviceKind, Int, Tensor, TensorData};
use surprisal::gpu::{
    Call, CrossEntropyBuffers, Gpu, MatrixBuffer, OutputBuffer, TargetsBuffer, TransformBuffers,
    VectorBuffer,
};
use surprisal::wgpu::{self, BufferUsages, util::DeviceExt as _};
use surprisal::{CrossEntropy, CrossEntropyInput, Device, Matrix, Softmax};

const SHAPES: [[usize; 2]; 3] = [[16_384, 1000], [1024, 32_000], [256, 128_256]];
const OPS: [Op; 2] = [Op::LossGradient, Op::Softmax];
/// Rounds that are not counted: they compile and warm up.
const UNCOUNTED: usize = 2;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    LossGradient,
    Softmax,
}

/// A batch in host memory.
struct Batch {
    shape: [usize; 2],
    logits: Vec<f32>,
    targets: Vec<i32>,
}

impl Batch {
    fn new(shape: [usize; 2]) -> Self {
        // A linear congruence, spread over [-4, 4).
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as f32 / (1 << 21) as f32 - 4.0
        };
        let [rows, classes] = shape;
        let logits = (0..rows * classes).map(|_| next()).collect();
        let targets = (0..rows).map(|row| (row * 7 % classes) as i32).collect();
        Self { shape, logits, targets }
    }

    /// What the reference says: the matrix of results, in f64.
    fn reference(&self, op: Op) -> Result<Vec<f64>> {
        let device = Device::reference();
        let matrix = Matrix::new(&self.logits, self.shape[0], self.shape[1])?;
        if op == Op::Softmax {
            return Ok(device.run(&Softmax, matrix)?.to_f64());
        }
        let input = CrossEntropyInput::new(matrix, &self.targets[..]);
        let output = device.run(&CrossEntropy::new().with_gradient(), input)?;
        Ok(output.dlogits.ok_or("the gradient was asked for")?.to_f64())
    }
}

/// Where an answer is wrong, if it is.
fn mistake(got: &[f32], want: &[f64], classes: usize) -> Option<String> {
    if got.len() != want.len() {
        return Some(format!("{} elements instead of {}", got.len(), want.len()));
    }
    let is_off = |(got, want): (&f32, &f64)| {
        let error = (f64::from(*got) - want).abs();
        !(error <= 1e-4 * want.abs() + 1e-11)
    };
    let wrong = got.iter().zip(want).filter(|pair| is_off(*pair)).count();
    let at = got.iter().zip(want).position(is_off)?;
    let (row, class) = (at / classes, at % classes);
    Some(format!("{wrong} elements, first row {row} class {class}: {} is not {}", got[at], want[at]))
}

/// This crate on a GPU.
struct Ours {
    gpu: Gpu,
    output: wgpu::Buffer,
    call: Call,
}

impl Ours {
    fn new(gpu: &Gpu, op: Op, batch: &Batch) -> Result<Self> {
        let buffer = |contents: &[u8]| {
            gpu.device().create_buffer_init(&wgpu::util::BufferInitDescriptor {
                label: None,
                contents,
                usage: BufferUsages::STORAGE | BufferUsages::COPY_SRC,
            })
        };
        let bytes = |values: &[f32]| values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>();
        let logits = buffer(&bytes(&batch.logits));
        let output = buffer(&bytes(&batch.logits));
        let targets: Vec<_> = batch.targets.iter().flat_map(|y| y.to_le_bytes()).collect();
        let targets = buffer(&targets);
        let [rows, classes] = batch.shape.map(|side| side as u64);
        let matrix = |buffer| MatrixBuffer::new(buffer, rows, classes);
        let (logits, separate) = (matrix(&logits), OutputBuffer::Separate(matrix(&output)));
        let call = if op == Op::Softmax {
            gpu.prepare_blocking(&Softmax, TransformBuffers::new(logits, separate))?
        } else {
            let targets = TargetsBuffer::I32(VectorBuffer::new(&targets));
            let buffers = CrossEntropyBuffers::new(logits, targets).with_dlogits(separate);
            gpu.prepare_blocking(&CrossEntropy::new().with_gradient(), buffers)?
        };
        Ok(Self { gpu: gpu.clone(), output, call })
    }

    fn run(&self) -> Result<()> {
        let descriptor = wgpu::CommandEncoderDescriptor::default();
        let mut encoder = self.gpu.device().create_command_encoder(&descriptor);
        self.call.encode(&mut encoder);
        self.gpu.queue().submit([encoder.finish()]);
        self.gpu.device().poll(wgpu::PollType::wait_indefinitely())?;
        Ok(())
    }

    fn answer(&self) -> Result<Vec<f32>> {
        self.run()?;
        let (device, queue) = (self.gpu.device(), self.gpu.queue());
        let (sender, receiver) = std::sync::mpsc::channel();
        wgpu::util::DownloadBuffer::read_buffer(device, queue, &self.output.slice(..), move |got| {
            // The receiver is there until it has this.
            let _ = sender.send(got.map(|got| got.to_vec()));
        });
        device.poll(wgpu::PollType::wait_indefinitely())?;
        let bytes = receiver.recv()??;
        let words = bytes.as_chunks::<4>().0;
        Ok(words.iter().map(|word| f32::from_le_bytes(*word)).collect())
    }
}

/// Burn on a GPU.
struct Burn {
    op: Op,
    device: BurnDevice,
    logits: Tensor<2>,
    targets: Tensor<1, Int>,
}

impl Burn {
    fn new(op: Op, batch: &Batch) -> Self {
        let device = BurnDevice::wgpu(DeviceKind::default());
        let device = if op == Op::LossGradient { device.autodiff() } else { device };
        let logits = TensorData::new(batch.logits.clone(), batch.shape);
        let targets = TensorData::new(batch.targets.clone(), [batch.targets.len()]);
        let logits = Tensor::from_data(logits, &device);
        let targets = Tensor::from_data(targets, &device);
        Self { op, device, logits, targets }
    }

    /// The gradient, or the probabilities.
    fn run(&self) -> Result<Tensor<2>> {
        let result = if self.op == Op::Softmax {
            softmax(self.logits.clone(), 1)
        } else {
            let logits = self.logits.clone().detach().require_grad();
            let loss = CrossEntropyLossConfig::new().init(&self.device);
            let loss = loss.forward(logits.clone(), self.targets.clone());
            logits.grad(&loss.backward()).ok_or("a gradient was asked for")?
        };
        self.device.sync().map_err(|error| format!("Burn: {error:?}"))?;
        Ok(result)
    }

    fn answer(&self) -> Result<Vec<f32>> {
        let data = self.run()?.into_data();
        data.into_vec::<f32>().map_err(|error| format!("Burn: {error:?}").into())
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    let (low, high) = ((values.len() - 1) / 2, values.len() / 2);
    f64::midpoint(values[low], values[high])
}

fn milliseconds(run: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    run()?;
    Ok(1e3 * start.elapsed().as_secs_f64())
}

fn compare(gpu: &Gpu, op: Op, shape: [usize; 2], rounds: usize) -> Result<()> {
    let batch = Batch::new(shape);
    let (ours, burn) = (Ours::new(gpu, op, &batch)?, Burn::new(op, &batch));
    let want = batch.reference(op)?;
    if let Some(mistake) = mistake(&ours.answer()?, &want, shape[1]) {
        return Err(format!("surprisal is wrong: {mistake}").into());
    }
    let verdict = mistake(&burn.answer()?, &want, shape[1]);
    drop(want);
    let (mut our_times, mut burn_times) = (Vec::new(), Vec::new());
    for round in 0..UNCOUNTED + rounds {
        let mut ours = || milliseconds(|| ours.run());
        let mut burns = || milliseconds(|| burn.run().map(drop));
        let (one, other) = if round % 2 == 0 {
            let one = ours()?;
            (one, burns()?)
        } else {
            let other = burns()?;
            (ours()?, other)
        };
        if round >= UNCOUNTED {
            our_times.push(one);
            burn_times.push(other);
        }
    }
    let ratio = median(burn_times.iter().zip(&our_times).map(|(burn, ours)| burn / ours));
    println!(
        "| {:?} | {} x {} | {:.2} | {:.2} | {ratio:.1} | {} |",
        op,
        shape[0],
        shape[1],
        median(our_times.into_iter()),
        median(burn_times.into_iter()),
        verdict.map_or("right".to_owned(), |mistake| format!("wrong: {mistake}"))
    );
    Ok(())
}

fn run() -> Result<()> {
    let rounds = match std::env::args().nth(1) {
        Some(text) => text.parse::<usize>().map_err(|error| format!("{text}: {error}"))?.max(1),
        None => 11,
    };
    let device = Device::gpu()?;
    let gpu = device.as_gpu().ok_or("a GPU is wanted")?;
    println!("{}; {rounds} rounds, medians in ms; x: how many times ours.\n", device.info());
    println!("| | rows x classes | surprisal | Burn | x | Burn's answer |\n|---|---|---|---|---|---|");
    for op in OPS {
        for shape in SHAPES {
            compare(gpu, op, shape, rounds)?;
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
