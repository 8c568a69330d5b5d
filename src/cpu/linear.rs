//! Cross-entropy of a linear layer: a chunk of logits is made, becomes its own gradient, and is used up.

mod classes;

pub(crate) use classes::ClassRows;

use std::ops::Range;

#[cfg(feature = "rayon")]
use rayon::prelude::*;

use crate::cpu::labelled::checked_in_place;
use crate::cpu::product::{Into, View, product};
use crate::cpu::simd::InstructionSet;
use crate::cpu::{LossSum, reduce, zeros};
use crate::dtype::{Dtype, Element};
use crate::error::Result;
use crate::matrix::{Array, Matrix, MatrixMut, Values, with_values, with_values_mut};
use crate::op::{
    KeptRows, Labels, LinearCrossEntropy, LinearCrossEntropyInput, LinearCrossEntropyOutput, Loss,
    Metrics, Reduction, Targets, Upstream, gather, together, upstream_of_rows,
};

/// Rows at a time are no more than these, or as many as have logits of so many bytes: more of them make
/// no product faster, and the memory's first touch costs.
const ROWS: usize = 512;
const LOGITS: usize = 64 << 20;
/// Classes whose weights are widened to f32 at a time.
const PANEL: usize = 1024;
/// Columns that a thread sums up at a time.
const COLUMNS: usize = 1024;

pub(crate) fn linear_cross_entropy(
    set: InstructionSet,
    op: &LinearCrossEntropy,
    input: &LinearCrossEntropyInput<'_>,
) -> Result<LinearCrossEntropyOutput> {
    op.validate(input)?;
    let kept = KeptRows::new(&op.loss().rows(input.targets, input.mask));
    let mut layer = Layer::new(set, op, input)?;
    for rows in kept.rows().chunks(layer.chunk_rows(&kept)?) {
        layer.chunk(rows)?;
    }
    Ok(layer.finish(&kept))
}

/// A layer, and what its rows came to so far.
struct Layer<'a> {
    set: InstructionSet,
    op: &'a LinearCrossEntropy,
    input: &'a LinearCrossEntropyInput<'a>,
    bias: Option<Vec<f32>>,
    kept_rows: u64,
    total_weight: f64,
    /// What a mean divides by.
    divisor: f64,
    dhidden: Array,
    dweight: Vec<f32>,
    dbias: Vec<f32>,
    /// Of kept rows.
    losses: Vec<f32>,
    lse: Vec<f32>,
    sum: LossSum,
    argmax: Vec<i64>,
    correct: u64,
    nll: f64,
    work: Work,
}

/// The memory of a chunk.
#[derive(Default)]
struct Work {
    logits: Vec<f32>,
    hidden: Vec<f32>,
    dhidden: Vec<f32>,
    panel: Vec<f32>,
}

impl<'a> Layer<'a> {
    fn new(
        set: InstructionSet,
        op: &'a LinearCrossEntropy,
        input: &'a LinearCrossEntropyInput<'a>,
    ) -> Result<Self> {
        let (hidden, weight) = (&input.hidden, &input.weight);
        let of_rows = op.loss().rows(input.targets, input.mask);
        let (kept_rows, total_weight) = op.loss().totals(&of_rows);
        let room = |asked: bool, elements: usize| zeros(if asked { elements } else { 0 });
        let dhidden = if op.has_hidden_gradient() { hidden.values().len() } else { 0 };
        Ok(Self {
            set,
            op,
            input,
            bias: input.bias.map(|bias| bias.to_f32()),
            kept_rows,
            total_weight,
            divisor: op.loss().normalizer().unwrap_or(total_weight),
            dhidden: Array::zeroed(hidden.dtype(), dhidden),
            dweight: room(op.has_weight_gradient(), weight.values().len())?,
            dbias: room(op.has_bias_gradient() && input.bias.is_some(), weight.rows())?,
            losses: Vec::new(),
            lse: Vec::new(),
            sum: LossSum::default(),
            argmax: Vec::new(),
            correct: 0,
            nll: 0.0,
            work: Work::default(),
        })
    }

    fn classes(&self) -> usize {
        self.input.weight.rows()
    }

    fn width(&self) -> usize {
        self.input.hidden.columns()
    }

    /// Rows whose logits, and what else they need, fit the scratch.
    fn chunk_rows(&self, kept: &KeptRows) -> Result<usize> {
        let (classes, width) = (self.classes() as u64, self.width() as u64);
        let is_narrow = self.input.weight.dtype() != Dtype::F32;
        let sums = if is_narrow { self.dweight.len() as u64 } else { 0 };
        let panel = if is_narrow { width * classes.min(PANEL as u64) } else { 0 };
        let probs = self.input.targets.probs().filter(|_| !kept.are_all());
        let gathered = probs.map_or(0, |probs| classes * probs.dtype().size() as u64);
        let row = 4 * (classes + 2 * width) + gathered;
        let rows = self.op.rows_in_scratch(row, 4 * (sums + panel))?;
        let enough = ROWS.max(LOGITS / (4 * self.classes()).max(1));
        Ok(usize::try_from(rows).unwrap_or(usize::MAX).clamp(1, enough))
    }

    /// What some rows, all of them kept, add to the batch.
    fn chunk(&mut self, rows: &[usize]) -> Result<()> {
        let (classes, width) = (self.classes(), self.width());
        let mut work = std::mem::take(&mut self.work);
        let hidden = rows_of(&self.input.hidden, rows, &mut work.hidden);
        let hidden = View::new(hidden, rows.len(), width);

        if work.logits.len() < rows.len() * classes {
            work.logits = zeros(rows.len() * classes)?;
        }
        let logits = &mut work.logits[..rows.len() * classes];
        let into = match &self.bias {
            Some(bias) => {
                for_each_chunk(logits, classes, |_, row| row.copy_from_slice(bias));
                Into::Add
            }
            None => Into::Replace,
        };
        self.for_each_panel(&mut work.panel, |panel, weight| {
            product((&mut *logits, classes, panel), hidden, weight.transposed(), into);
        });
        self.loss(rows, MatrixMut::new(&mut *logits, rows.len(), classes)?)?;

        let dlogits = View::new(logits, rows.len(), classes);
        if self.op.has_hidden_gradient() {
            work.dhidden.clear();
            work.dhidden.resize(rows.len() * width, 0.0);
            let dhidden = &mut work.dhidden;
            self.for_each_panel(&mut work.panel, |panel, weight| {
                let dlogits = dlogits.columns(panel);
                product((&mut *dhidden, width, 0..width), dlogits, weight, Into::Add);
            });
            write_rows(&mut self.dhidden, rows, dhidden, width);
        }
        if self.op.has_weight_gradient() {
            // The first chunk does not read the zeros, and so touches the memory once.
            let into = if self.lse.len() == rows.len() { Into::Replace } else { Into::Add };
            let dweight = (&mut self.dweight[..], width, 0..width);
            product(dweight, dlogits.transposed(), hidden, into);
        }
        sum_columns(&mut self.dbias, logits, classes);
        self.work = work;
        Ok(())
    }

    /// The loss of a chunk of logits, whose gradient takes their place.
    fn loss(&mut self, rows: &[usize], logits: MatrixMut<'_>) -> Result<()> {
        let loss = self.op.loss();
        let reduction = loss.reduction();
        let each = upstream_of_rows(self.input.upstream, rows);
        let upstream = match (self.input.upstream, &each) {
            (_, Some(dloss)) => Upstream::Each(dloss.into()),
            (Upstream::Scalar(dloss), None) if reduction == Reduction::Mean => {
                // 0 divides to NaN whatever is above it, not to infinity.
                let over = if self.divisor == 0.0 { f64::NAN } else { dloss / self.divisor };
                Upstream::Scalar(over)
            }
            (upstream, None) => upstream,
        };
        let (indices, gathered): (Vec<i64>, Array);
        let targets = match (self.input.targets, together(rows)) {
            (Targets::Probs(probs), Some(rows)) => Targets::Probs(probs.part(rows)),
            (Targets::Probs(probs), None) => {
                gathered = gather(&probs, rows);
                Matrix::new(gathered.values(), rows.len(), probs.columns())?.into()
            }
            (of_all, _) => {
                indices = rows.iter().map(|&row| of_all.index(row)).collect();
                (&indices).into()
            }
        };
        let labels = Labels::new(targets).with_upstream(upstream);
        let of_chunk = self.op.of_logits().with_reduction(Reduction::None).for_window(self.nll);
        let output = if self.op.has_gradient() {
            checked_in_place(self.set, &of_chunk, logits, labels)?
        } else {
            let input = crate::op::CrossEntropyInput::new(logits.as_matrix(), targets);
            crate::cpu::labelled(self.set, &of_chunk, &input)?
        };
        if let Loss::Each(losses) = &output.loss {
            let losses = losses.values().to_f32();
            if reduction == Reduction::None {
                self.losses.extend(losses);
            } else {
                self.sum.push(&losses);
            }
        }
        self.lse.extend(output.lse.values().to_f32());
        if let Some(metrics) = output.metrics {
            self.nll = metrics.nll;
            self.correct += metrics.correct;
            self.argmax.extend(metrics.argmax);
        }
        Ok(())
    }

    /// Calls `f` with some classes and their weights as f32, until all were there.
    fn for_each_panel(&self, room: &mut Vec<f32>, mut f: impl FnMut(Range<usize>, View<'_>)) {
        let (classes, width, values) = (self.classes(), self.width(), self.input.weight.values());
        let panel = if values.dtype() == Dtype::F32 { classes } else { PANEL };
        for first in (0..classes).step_by(panel.max(1)) {
            let classes = first..classes.min(first + panel);
            let weight = f32s(values, classes.start * width..classes.end * width, room);
            f(classes.clone(), View::new(weight, classes.len(), width));
        }
    }

    fn finish(self, kept: &KeptRows) -> LinearCrossEntropyOutput {
        let (op, loss) = (self.op, self.op.loss());
        let loss = match loss.reduction() {
            Reduction::None => reduce(kept.spread(self.losses, 0.0), Reduction::None, 1.0),
            reduction => Loss::Reduced(self.sum.reduced(reduction, self.divisor)),
        };
        let metrics = op.loss().has_metrics().then(|| {
            Metrics::new(kept.spread(self.argmax, -1), self.correct, self.nll, self.kept_rows)
        });
        let bias = self.input.bias.filter(|_| op.has_bias_gradient());
        let weight = self.input.weight.dtype();
        LinearCrossEntropyOutput {
            loss,
            lse: Array::F32(kept.spread(self.lse, 0.0)),
            dhidden: op.has_hidden_gradient().then_some(self.dhidden),
            dweight: op.has_weight_gradient().then(|| Array::rounded(self.dweight, weight)),
            dbias: bias.map(|bias| Array::rounded(self.dbias, bias.dtype())),
            metrics,
            kept_rows: self.kept_rows,
            total_weight: self.total_weight,
        }
    }
}

/// Some elements as f32; in `room` if they are not f32 already.
fn f32s<'a>(values: Values<'a>, range: Range<usize>, room: &'a mut Vec<f32>) -> &'a [f32] {
    if let Values::F32(v) = values {
        return &v[range];
    }
    room.resize(range.len(), 0.0);
    with_values!(values, v => {
        let v = &v[range];
        for_each_chunk(room, 1 << 16, |first, room| {
            for (wide, &x) in room.iter_mut().zip(&v[first..]) {
                *wide = x.to_f32();
            }
        });
    });
    room
}

/// Some rows as f32; in `room` if they are not that already, next to each other.
fn rows_of<'a>(matrix: &Matrix<'a>, rows: &[usize], room: &'a mut Vec<f32>) -> &'a [f32] {
    let width = matrix.columns();
    if let Some(rows) = together(rows) {
        return f32s(matrix.values(), rows.start * width..rows.end * width, room);
    }
    room.clear();
    with_values!(matrix.values(), v => {
        for row in rows {
            room.extend(v[row * width..(row + 1) * width].iter().map(|&x| x.to_f32()));
        }
    });
    room
}

/// Puts rows in their places in a matrix, rounded to its dtype.
fn write_rows(matrix: &mut Array, rows: &[usize], values: &[f32], width: usize) {
    with_values_mut!(matrix.values_mut(), out => {
        for (row, values) in rows.iter().zip(values.chunks_exact(width)) {
            for (out, &x) in out[row * width..].iter_mut().zip(values) {
                *out = Element::from_f32(x);
            }
        }
    });
}

/// Adds rows to `sums`, which may have none.
fn sum_columns(sums: &mut [f32], rows: &[f32], columns: usize) {
    for_each_chunk(sums, COLUMNS, |first, sums| {
        for row in rows.chunks_exact(columns) {
            for (sum, x) in sums.iter_mut().zip(&row[first..]) {
                *sum += x;
            }
        }
    });
}

/// Calls `f` with chunks of a slice and where they start, on all threads.
fn for_each_chunk(values: &mut [f32], length: usize, f: impl Fn(usize, &mut [f32]) + Send + Sync) {
    #[cfg(feature = "rayon")]
    let chunks = values.par_chunks_mut(length.max(1)).enumerate();
    #[cfg(not(feature = "rayon"))]
    let chunks = values.chunks_mut(length.max(1)).enumerate();
    chunks.for_each(|(i, chunk)| f(i * length, chunk));
}
