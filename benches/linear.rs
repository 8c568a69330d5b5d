//! What does a linear layer with cross-entropy behind it cost on the CPU, beside its matrix products alone
//! and beside stored logits?
//!
//!     cargo bench --bench linear
//!     cargo bench --bench linear -- --shape 8192x256x128256 --rounds 1 --scratch 256
//!
//! Each round times everybody once, in turns; figures are medians, and ratios medians of the rounds'.
//! Answers are compared before anything is timed. The products alone are gemm's, as the CPU path's are,
//! over chunks of as many rows. Stored logits are left out where they would take more than 2 GiB.
//!
//! Options: `--shape` (rows x hidden x classes, with commas between several), `--rounds N`,
//! `--scratch MiB`, `--threads N`. On Linux the peak of the process's memory during a run is told too,
//! beyond what was there before.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a table is what it is for")]
#![expect(unsafe_code, reason = "gemm takes pointers")]

use std::process::ExitCode;
use std::time::Instant;

use gemm_common::Parallelism;
use gemm_f32::gemm::f32::get_gemm_fn;
use surprisal::{
    CrossEntropy, CrossEntropyInput, Device, Labels, LinearCrossEntropy, LinearCrossEntropyInput,
    LinearCrossEntropyOutput, Matrix, MatrixMut,
};

/// Bytes of logits that are stored at most.
const STORED: usize = 2 << 30;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[derive(Debug, Clone, Copy)]
struct Shape {
    rows: usize,
    width: usize,
    classes: usize,
}

struct Options {
    shapes: Vec<Shape>,
    rounds: usize,
    scratch: u64,
}

fn main() -> ExitCode {
    match options(std::env::args().skip(1)).and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("linear: {error}");
            ExitCode::from(2)
        }
    }
}

fn options(args: impl Iterator<Item = String>) -> Result<Options> {
    let shapes =
        vec![shape("2048x256x32000")?, shape("512x1024x32000")?, shape("1024x256x128256")?];
    let mut options = Options { shapes, rounds: 7, scratch: 256 };
    // Cargo adds this one.
    let mut args = args.filter(|arg| arg != "--bench");
    while let Some(name) = args.next() {
        let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--shape" => options.shapes = value.split(',').map(shape).collect::<Result<_>>()?,
            "--rounds" => options.rounds = value.parse::<usize>()?.max(1),
            "--scratch" => options.scratch = value.parse()?,
            "--threads" => {
                rayon::ThreadPoolBuilder::new().num_threads(value.parse()?).build_global()?;
            }
            _ => return Err(format!("{name} is none of its options").into()),
        }
    }
    Ok(options)
}

fn shape(text: &str) -> Result<Shape> {
    match text.split('x').map(str::parse).collect::<std::result::Result<Vec<usize>, _>>()?[..] {
        [rows, width, classes] if rows * width * classes > 0 => Ok(Shape { rows, width, classes }),
        _ => Err(format!("{text} is not rows x hidden x classes").into()),
    }
}

/// A layer and memory for all that is computed.
struct Layer {
    shape: Shape,
    hidden: Vec<f32>,
    weight: Vec<f32>,
    targets: Vec<i64>,
    logits: Vec<f32>,
    dhidden: Vec<f32>,
    dweight: Vec<f32>,
    scratch: u64,
}

impl Layer {
    fn new(shape: Shape, scratch: u64) -> Self {
        let Shape { rows, width, classes } = shape;
        let wave = |count: usize, scale: f32, step: f32| -> Vec<f32> {
            (0..count).map(|i| scale * (i as f32 * step).sin()).collect()
        };
        Self {
            shape,
            hidden: wave(rows * width, 1.0, 0.7),
            weight: wave(classes * width, 2.0 / (width as f32).sqrt(), 1.3),
            targets: (0..rows)
                .map(|row| i64::try_from(row * 7919 % classes).unwrap_or(0))
                .collect(),
            logits: Vec::new(),
            dhidden: vec![0.0; rows * width],
            dweight: vec![0.0; classes * width],
            scratch,
        }
    }

    fn input(&self) -> Result<LinearCrossEntropyInput<'_>> {
        let Shape { rows, width, classes } = self.shape;
        let hidden = Matrix::new(&self.hidden, rows, width)?;
        let weight = Matrix::new(&self.weight, classes, width)?;
        Ok(LinearCrossEntropyInput::new(hidden, weight, &self.targets))
    }

    fn op(&self) -> LinearCrossEntropy {
        LinearCrossEntropy::new(CrossEntropy::new()).with_scratch_bytes(self.scratch)
    }

    /// Rows that the operation takes at a time.
    fn chunk(&self) -> usize {
        let Shape { rows, width, classes } = self.shape;
        let fit = self.scratch / (4 * (classes + 2 * width)) as u64;
        (fit as usize).clamp(1, 512.max((64 << 20) / (4 * classes))).min(rows)
    }

    fn fused(&self, gradients: bool) -> Result<LinearCrossEntropyOutput> {
        let op = if gradients { self.op().with_gradient() } else { self.op() };
        Ok(Device::cpu().run(&op, self.input()?)?)
    }

    /// The one product of the loss, or all three.
    fn products(&mut self, all: bool) {
        let Shape { rows, width, classes } = self.shape;
        let chunk = self.chunk();
        self.logits.resize(chunk * classes, 0.0);
        for first in (0..rows).step_by(chunk) {
            let rows = chunk.min(rows - first);
            let range = first * width..(first + rows) * width;
            let logits = &mut self.logits[..rows * classes];
            self::logits((rows, width, classes), &self.hidden[range.clone()], &self.weight, logits);
            if all {
                let dhidden = &mut self.dhidden[range.clone()];
                let shape = (rows, width, classes);
                gradients(
                    shape,
                    logits,
                    (&self.hidden[range], &self.weight),
                    (dhidden, &mut self.dweight),
                );
            }
        }
    }

    /// By logits that are there as a whole.
    fn stored(&mut self, with_gradients: bool) -> Result<f64> {
        let Shape { rows, width, classes } = self.shape;
        self.logits.resize(rows * classes, 0.0);
        logits((rows, width, classes), &self.hidden, &self.weight, &mut self.logits);
        let op = CrossEntropy::new();
        if !with_gradients {
            let logits = Matrix::new(&self.logits, rows, classes)?;
            let output = Device::cpu().run(&op, CrossEntropyInput::new(logits, &self.targets))?;
            return output.loss.reduced().ok_or("it is a mean".into());
        }
        let matrix = MatrixMut::new(&mut self.logits[..], rows, classes)?;
        let labels = Labels::new(&self.targets);
        let output = Device::cpu().run_in_place(&op.with_gradient(), matrix, labels)?;
        self.dweight.fill(0.0);
        let layer = (&self.hidden[..], &self.weight[..]);
        gradients(
            (rows, width, classes),
            &self.logits,
            layer,
            (&mut self.dhidden, &mut self.dweight),
        );
        output.loss.reduced().ok_or("it is a mean".into())
    }
}

/// A matrix with its strides from row to row and from column to column.
type Strided<'a> = (&'a [f32], usize, usize);

/// `out = a b`, or `out += a b`, by rows of `n`.
fn product(
    (m, k, n): (usize, usize, usize),
    a: Strided<'_>,
    b: Strided<'_>,
    out: &mut [f32],
    add: bool,
) {
    assert!(out.len() == m * n && a.0.len() == m * k && b.0.len() == k * n);
    let stride = |n: usize| n.cast_signed();
    // SAFETY: the slices have the shapes that are handed over, and their strides are those of whole
    // matrices or their transposes.
    unsafe {
        get_gemm_fn()(
            n,
            m,
            k,
            out.as_mut_ptr(),
            stride(n),
            1,
            add,
            b.0.as_ptr(),
            stride(b.1),
            stride(b.2),
            a.0.as_ptr(),
            stride(a.1),
            stride(a.2),
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::Rayon(0),
        );
    }
}

fn logits(shape: (usize, usize, usize), hidden: &[f32], weight: &[f32], logits: &mut [f32]) {
    let width = shape.1;
    product(shape, (hidden, width, 1), (weight, 1, width), logits, false);
}

fn gradients(
    (rows, width, classes): (usize, usize, usize),
    dlogits: &[f32],
    (hidden, weight): (&[f32], &[f32]),
    (dhidden, dweight): (&mut [f32], &mut [f32]),
) {
    product((rows, classes, width), (dlogits, classes, 1), (weight, width, 1), dhidden, false);
    product((classes, rows, width), (dlogits, 1, classes), (hidden, width, 1), dweight, true);
}

fn run(options: &Options) -> Result<()> {
    println!("{} threads, scratch {} MiB", rayon::current_num_threads(), options.scratch);
    for &shape in &options.shapes {
        let mut layer = Layer::new(shape, options.scratch << 20);
        let Shape { rows, width, classes } = shape;
        let is_stored = rows * classes * 4 <= STORED;
        println!("\n{rows} x {width} x {classes}, {} rows at a time", layer.chunk());
        let (loss, all) = (peak(&layer, false)?, peak(&layer, true)?);
        if let (Some(loss), Some(all)) = (loss, all) {
            println!("peak beyond what was there: loss {loss} MiB, with gradients {all} MiB");
        }
        check(&mut layer, is_stored)?;
        for gradients in [false, true] {
            let times = time(&mut layer, gradients, is_stored, options.rounds)?;
            report(shape, gradients, times);
        }
    }
    Ok(())
}

/// # Panics
/// If the loss or a gradient is not that of stored logits.
fn check(layer: &mut Layer, is_stored: bool) -> Result<()> {
    if !is_stored {
        return Ok(());
    }
    let stored = layer.stored(true)?;
    let fused = layer.fused(true)?;
    let loss = fused.loss.reduced().ok_or("it is a mean")?;
    assert!((loss - stored).abs() <= 1e-5 * stored, "loss {loss}, stored {stored}");
    let gradients = [(fused.dhidden, &layer.dhidden), (fused.dweight, &layer.dweight)];
    for (got, want) in gradients {
        let got = got.ok_or("asked for")?;
        let got = got.as_f32().ok_or("of f32")?;
        let largest = want.iter().fold(0.0f32, |max, x| max.max(x.abs()));
        let off = got.iter().zip(want).fold(0.0f32, |max, (a, b)| max.max((a - b).abs()));
        assert!(off <= 1e-4 * largest, "a gradient is off by {off} of {largest}");
    }
    layer.logits = Vec::new();
    Ok(())
}

/// Milliseconds of each round: ours, the products alone, stored logits.
fn time(
    layer: &mut Layer,
    gradients: bool,
    is_stored: bool,
    rounds: usize,
) -> Result<[Vec<f64>; 3]> {
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..rounds {
        let clock = Instant::now();
        layer.fused(gradients)?;
        times[0].push(1e3 * clock.elapsed().as_secs_f64());
        let clock = Instant::now();
        layer.products(gradients);
        times[1].push(1e3 * clock.elapsed().as_secs_f64());
        if is_stored {
            let clock = Instant::now();
            layer.stored(gradients)?;
            times[2].push(1e3 * clock.elapsed().as_secs_f64());
        }
    }
    layer.logits = Vec::new();
    Ok(times)
}

fn report(shape: Shape, gradients: bool, [ours, products, stored]: [Vec<f64>; 3]) {
    let operations = if gradients { 6.0 } else { 2.0 };
    let operations = operations * (shape.rows * shape.width) as f64 * shape.classes as f64;
    let ratio = |times: &[f64]| {
        let ratios = ours.iter().zip(times).map(|(ours, theirs)| ours / theirs);
        median(ratios.collect())
    };
    let name = if gradients { "loss and gradients" } else { "loss" };
    let own = median(ours.clone());
    print!("{name}: {own:.1} ms, {:.0} GFLOP/s, ", operations / own / 1e6);
    print!("{:.2} x products alone ({:.1} ms)", ratio(&products), median(products.clone()));
    if !stored.is_empty() {
        print!(", {:.2} x stored logits ({:.1} ms)", ratio(&stored), median(stored.clone()));
    }
    println!();
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// MiB of memory that a run takes at its peak, outputs included, if the system tells.
fn peak(layer: &Layer, gradients: bool) -> Result<Option<u64>> {
    let Some(before) = resident("VmRSS:") else { return Ok(None) };
    // The peak begins anew.
    std::fs::write("/proc/self/clear_refs", "5")?;
    layer.fused(gradients)?;
    let peak = resident("VmHWM:").map(|peak| peak.saturating_sub(before) >> 10);
    Ok(peak)
}

/// Of this process, in KiB.
fn resident(what: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(what))?;
    line.split_whitespace().next()?.parse().ok()
}
