//! Recorded linear layers of which some rows are ignored, against batches that never had those rows.

use surprisal::gpu::{
    Gpu, LinearCrossEntropyBuffers, MaskBuffer, MatrixBuffer, TargetsBuffer, UpstreamBuffer,
    VectorBuffer,
};
use surprisal::{Array, CrossEntropy, Dtype, LinearCrossEntropy, Reduction, wgpu};

use super::bench::Bench;
use super::cases::{Rng, stored};

/// Three blocks of rows.
const ROWS: usize = 9000;
const WIDTH: usize = 7;
const CLASSES: usize = 33;
const IGNORED: i64 = -100;

/// Rows of a batch: what a layer reads of each, its target as an index and as probabilities, and its upstream
/// gradient.
#[derive(Clone)]
pub struct Rows {
    hidden: Vec<f32>,
    targets: Vec<i64>,
    probs: Vec<f32>,
    dloss: Vec<f32>,
}

impl Rows {
    /// With NaN where a row is ignored.
    pub fn new(is_kept: impl Fn(usize) -> bool) -> Self {
        let mut rng = Rng::new(5);
        let mut hidden: Vec<f32> = (0..ROWS * WIDTH).map(|_| rng.normal() as f32).collect();
        let targets = (0..ROWS).map(|row| {
            let target = i64::try_from(rng.below(CLASSES)).unwrap_or(-1);
            if is_kept(row) { target } else { IGNORED }
        });
        let targets: Vec<_> = targets.collect();
        let mut probs: Vec<f32> = (0..ROWS * CLASSES).map(|_| rng.uniform() as f32).collect();
        let rows = hidden.chunks_mut(WIDTH).zip(probs.chunks_mut(CLASSES)).zip(&targets);
        for ((x, q), _) in rows.filter(|(_, target)| **target == IGNORED) {
            x.fill(f32::NAN);
            q.fill(f32::NAN);
        }
        let dloss = (0..ROWS).map(|_| rng.normal() as f32).collect();
        Self { hidden, targets, probs, dloss }
    }

    fn len(&self) -> usize {
        self.targets.len()
    }

    /// Without those that are ignored.
    fn kept(&self) -> Self {
        let kept = || (0..self.len()).filter(|&row| self.targets[row] != IGNORED);
        let rows = |all: &[f32], width: usize| {
            kept().flat_map(|row| all[row * width..][..width].to_vec()).collect()
        };
        Self {
            hidden: rows(&self.hidden, WIDTH),
            targets: kept().map(|row| self.targets[row]).collect(),
            probs: rows(&self.probs, CLASSES),
            dloss: kept().map(|row| self.dloss[row]).collect(),
        }
    }

    /// Numbers of kept rows with others between them for those that are not.
    fn spread<T: Copy>(&self, kept: &[T], width: usize, ignored: T) -> Vec<T> {
        let mut kept = kept.chunks(width);
        let row = |&target: &i64| match target {
            IGNORED => vec![ignored; width],
            _ => kept.next().expect("there are as many").to_vec(),
        };
        self.targets.iter().flat_map(row).collect()
    }
}

/// What tells the rows that do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftOut {
    ByLabel,
    /// A mask; their targets are no class.
    ByMask,
}

/// How targets are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    I32,
    I64,
    /// Probabilities, which only a mask can leave out.
    Probs,
}

/// How the batch lies in its buffers, and what is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Choice {
    pub dtype: Dtype,
    pub targets: Stored,
    pub reduction: Reduction,
    pub gradient: bool,
    pub metrics: bool,
    pub left_out: LeftOut,
}

#[derive(Debug, PartialEq)]
pub struct Got {
    pub loss: f32,
    pub kept_rows: u32,
    pub stats: Vec<[u32; 2]>,
    pub argmax: Option<Vec<i64>>,
    pub dhidden: Vec<u32>,
    pub dweight: Vec<u32>,
    pub dbias: Vec<u32>,
}

/// 16-bit rows start in the middle of a u32, every other one; others are four bytes apart from it.
fn matrix(buffer: &wgpu::Buffer, shape: (usize, usize), dtype: Dtype) -> MatrixBuffer<'_> {
    MatrixBuffer::new(buffer, shape.0 as u64, shape.1 as u64)
        .with_dtype(dtype)
        .with_offset(3 * dtype.size() as u64)
        .with_row_stride(shape.1 as u64 + 2)
}

fn embedded(values: &[f32], width: usize, dtype: Dtype) -> Vec<u8> {
    let mut all = vec![7.0; 3];
    for row in values.chunks(width) {
        all.extend_from_slice(row);
        all.extend([7.0; 2]);
    }
    let mut bytes = match stored(&all, dtype) {
        Array::F16(v) => bytemuck::cast_slice(&v).to_vec(),
        Array::Bf16(v) => bytemuck::cast_slice(&v).to_vec(),
        other => bytemuck::cast_slice(other.as_f32().expect("it is f32")).to_vec(),
    };
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// Twice into the same buffers, which hold what must not matter.
pub fn run(bench: &Bench, op: &LinearCrossEntropy, rows: &Rows, choice: Choice) -> Got {
    let mut rng = Rng::new(6);
    let weight: Vec<f32> = (0..CLASSES * WIDTH).map(|_| rng.normal() as f32).collect();
    let bias: Vec<f32> = (0..CLASSES).map(|_| rng.normal() as f32).collect();
    let hidden = bench.buffer(&embedded(&rows.hidden, WIDTH, choice.dtype));
    let weight = bench.buffer(&embedded(&weight, WIDTH, choice.dtype));
    let bias = bench.buffer(&bias);
    let is_masked = |target: i64| (choice.left_out == LeftOut::ByMask) && target == IGNORED;
    let targets = rows.targets.iter().map(|&y| if is_masked(y) { 1 << 20 } else { y });
    let targets: Vec<i64> = targets.collect();
    let narrow: Vec<i32> = targets.iter().map(|&target| target as i32).collect();
    let narrow = bench.buffer(&[&[7], &narrow[..]].concat());
    let wide = bench.buffer(&[&[7], &targets[..]].concat());
    let mut mask: Vec<u8> = rows.targets.iter().map(|&y| u8::from(y != IGNORED)).collect();
    mask.resize(mask.len().next_multiple_of(4), 9);
    let mask = bench.buffer(&mask);
    let probs = bench.buffer(&embedded(&rows.probs, CLASSES, Dtype::F32));
    let targets = match choice.targets {
        Stored::I32 => TargetsBuffer::I32(VectorBuffer::new(&narrow).with_offset(4)),
        Stored::I64 => TargetsBuffer::I64(VectorBuffer::new(&wide).with_offset(8)),
        Stored::Probs => TargetsBuffer::Probs(matrix(&probs, (rows.len(), CLASSES), Dtype::F32)),
    };
    let dloss = bench.buffer(&[&[7.0; 3], &rows.dloss[..]].concat());
    let dhidden = bench.buffer(&vec![f32::NAN; 3 + rows.len() * (WIDTH + 2)]);
    let dweight = bench.buffer(&vec![f32::NAN; CLASSES * WIDTH]);
    let dbias = bench.buffer(&[f32::NAN; CLASSES]);
    let mut buffers = LinearCrossEntropyBuffers::new(
        matrix(&hidden, (rows.len(), WIDTH), choice.dtype),
        matrix(&weight, (CLASSES, WIDTH), choice.dtype),
        targets,
    )
    .with_bias(VectorBuffer::new(&bias))
    .with_mask((choice.left_out == LeftOut::ByMask).then_some(MaskBuffer::new(&mask)));
    if choice.reduction == Reduction::None && choice.gradient {
        let dloss = VectorBuffer::new(&dloss).with_offset(12);
        buffers = buffers.with_upstream(UpstreamBuffer::Rows(dloss));
    }
    if choice.gradient {
        buffers = buffers
            .with_dhidden(matrix(&dhidden, (rows.len(), WIDTH), Dtype::F32))
            .with_dweight(MatrixBuffer::new(&dweight, CLASSES as u64, WIDTH as u64))
            .with_dbias(VectorBuffer::new(&dbias));
    }
    let call = bench.gpu.prepare_blocking(op, buffers).expect("it is sound");
    for _ in 0..2 {
        bench.submit(|encoder| call.encode(encoder));
    }
    let summary = call.read_summary_blocking().expect("targets are sound");
    let stats = call.read_stats_blocking().expect("it has some");
    let got: Vec<u32> = bench.read(&dhidden);
    let gradient: Vec<_> =
        got[3..].chunks(WIDTH + 2).flat_map(|row| row[..WIDTH].to_vec()).collect();
    Got {
        loss: summary.loss,
        kept_rows: summary.kept_rows,
        stats: stats.iter().map(|row| row.map(f32::to_bits)).collect(),
        argmax: choice.metrics.then(|| call.read_metrics_blocking().expect("asked for").argmax),
        dhidden: gradient,
        dweight: bench.read(&dweight),
        dbias: bench.read(&dbias),
    }
}

/// The batch against the one that never had the ignored rows.
pub fn check(gpu: &Gpu, choice: Choice, is_kept: impl Fn(usize) -> bool) -> Result<(), String> {
    let bench = Bench { gpu: gpu.clone() };
    let rows = Rows::new(is_kept);
    let loss = CrossEntropy::new().with_reduction(choice.reduction).with_z_loss(1e-3);
    let loss = if choice.metrics { loss.with_metrics() } else { loss };
    // Chunks of some hundred rows.
    let of_layer = |loss| {
        let op = LinearCrossEntropy::new(loss).with_scratch_bytes(100_000);
        if choice.gradient { op.with_gradient() } else { op }
    };
    let ignored = (choice.targets != Stored::Probs).then_some(IGNORED);
    let got = run(&bench, &of_layer(loss.clone().with_ignore_index(ignored)), &rows, choice);
    let want = run(&bench, &of_layer(loss.with_ignore_index(None)), &rows.kept(), choice);
    // Losses are summed in blocks of the batch's rows.
    let is_near = (got.loss - want.loss).abs() <= 1e-5 * want.loss.abs();
    let dhidden = rows.spread(&want.dhidden, WIDTH, 0);
    let same = [
        ("kept_rows", got.kept_rows == want.kept_rows),
        ("loss", is_near),
        ("losses and lse", got.stats == rows.spread(&want.stats, 1, [0; 2])),
        ("argmax", got.argmax == want.argmax.map(|best| rows.spread(&best, 1, -1))),
        ("dhidden", !choice.gradient || got.dhidden == dhidden),
        ("dweight", !choice.gradient || got.dweight == want.dweight),
        ("dbias", !choice.gradient || got.dbias == want.dbias),
    ];
    match same.into_iter().find(|(_, same)| !same) {
        Some((what, _)) => Err(format!("{choice:?}: {what} is not that of the kept rows alone")),
        None => Ok(()),
    }
}

pub const PLAIN: Choice = Choice {
    dtype: Dtype::F32,
    targets: Stored::I64,
    reduction: Reduction::Mean,
    gradient: true,
    metrics: true,
    left_out: LeftOut::ByLabel,
};
