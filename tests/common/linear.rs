//! Linear layers with cross-entropy behind them: any device against the reference.

use std::ops::Range;

use super::reference;
use surprisal::stream::{Part, Total};
use surprisal::{
    Array, BatchTargets, CrossEntropy, Device, Dtype, LinearCrossEntropy, LinearCrossEntropyInput,
    LinearCrossEntropyOutput, Loss, Matrix, Reduction, Targets, Upstream, Values,
};

use super::Subject;
use super::cases::{Rng, stored};
use super::suite::{Outcome, compare, compare_all};
use super::tolerance::{self, Arithmetic, OptionBounds, Scores};

/// A layer, what it reads, and the targets; -100 is the ignored value. Where there are probabilities, they
/// are the targets, and a mask leaves out the rows that would be ignored.
#[derive(Debug, Clone)]
pub struct Layer {
    pub rows: usize,
    pub width: usize,
    pub classes: usize,
    pub hidden: Array,
    pub weight: Array,
    pub bias: Option<Array>,
    pub targets: Vec<i64>,
    pub probs: Option<Array>,
    pub mask: Option<Vec<bool>>,
    pub dloss: Vec<f32>,
}

impl Layer {
    /// Normal numbers that make logits of about 2, with a bias; every seventh row is ignored, and has
    /// NaN where it could be read.
    pub fn new(rows: usize, width: usize, classes: usize, dtype: Dtype) -> Self {
        let mut rng = Rng::new((rows * 31 + width * 7 + classes) as u64);
        let mut normal = |count: usize, scale: f64| -> Vec<f32> {
            (0..count).map(|_| (rng.normal() * scale) as f32).collect()
        };
        let mut hidden = normal(rows * width, 1.0);
        let weight = normal(classes * width, 2.0 / (width as f64).sqrt());
        let (bias, dloss) = (normal(classes, 0.5), normal(rows, 1.0));
        let targets =
            (0..rows)
                .map(|row| {
                    if row % 7 == 3 {
                        -100
                    } else {
                        i64::try_from(rng.below(classes)).unwrap_or(-1)
                    }
                })
                .collect::<Vec<_>>();
        for (row, _) in targets.iter().enumerate().filter(|(_, target)| **target == -100) {
            hidden[row * width..(row + 1) * width].fill(f32::NAN);
        }
        Self {
            rows,
            width,
            classes,
            hidden: stored(&hidden, dtype),
            weight: stored(&weight, dtype),
            bias: Some(stored(&bias, dtype)),
            targets,
            probs: None,
            mask: None,
            dloss,
        }
    }

    /// With probabilities instead of class indices: soft ones, soft ones with zeros, and one-hot ones; no
    /// probabilities in the rows that a mask leaves out.
    pub fn with_probs(mut self, dtype: Dtype) -> Self {
        let mut rng = Rng::new(self.classes as u64);
        let mut probs = Vec::with_capacity(self.rows * self.classes);
        for row in 0..self.rows {
            let Some(y) = self.target(row) else {
                probs.extend((0..self.classes).map(|j| if j % 2 == 0 { f32::NAN } else { 7.0 }));
                continue;
            };
            let mut share = |j: usize| match row % 3 {
                1 if rng.below(3) > 0 => 0.0,
                0 | 1 => rng.uniform(),
                _ => f64::from(u8::from(j == y)),
            };
            let shares: Vec<f64> = (0..self.classes).map(&mut share).collect();
            let sum = shares.iter().sum::<f64>().max(1e-9);
            probs.extend(shares.iter().map(|share| (share / sum) as f32));
        }
        self.probs = Some(stored(&probs, dtype));
        let counts: Vec<bool> = self.targets.iter().map(|&target| target != -100).collect();
        self.mask = counts.contains(&false).then_some(counts);
        self
    }

    /// All rows count, and have numbers.
    pub fn with_all_rows(mut self) -> Self {
        let mut rng = Rng::new(3);
        let fresh = |x: f64| if x.is_nan() { rng.uniform() as f32 } else { x as f32 };
        let values: Vec<f32> = self.hidden.to_f64().into_iter().map(fresh).collect();
        self.hidden = stored(&values, self.hidden.dtype());
        self.targets.iter_mut().for_each(|target| *target = (*target).max(0));
        self
    }

    pub fn without_bias(self) -> Self {
        Self { bias: None, ..self }
    }

    pub fn input(&self, reduction: Reduction) -> LinearCrossEntropyInput<'_> {
        let hidden = Matrix::new(self.hidden.values(), self.rows, self.width);
        let weight = Matrix::new(self.weight.values(), self.classes, self.width);
        let upstream = match reduction {
            Reduction::None => Upstream::Each((&self.dloss).into()),
            _ => Upstream::Scalar(-1.5),
        };
        let (hidden, weight) = (hidden.expect("its shape"), weight.expect("its shape"));
        let mut input = LinearCrossEntropyInput::new(hidden, weight, self.labels(0..self.rows))
            .with_bias(self.bias.as_ref().map(Array::values))
            .with_upstream(upstream);
        input.mask = self.mask.as_deref();
        input
    }

    /// The targets of some rows: probabilities, or class indices.
    fn labels(&self, rows: Range<usize>) -> Targets<'_> {
        let Some(probs) = &self.probs else { return (&self.targets[rows]).into() };
        let elements = rows.start * self.classes..rows.end * self.classes;
        let probs = match probs.values() {
            Values::F16(v) => Matrix::new(&v[elements], rows.len(), self.classes),
            Values::Bf16(v) => Matrix::new(&v[elements], rows.len(), self.classes),
            Values::F32(v) => Matrix::new(&v[elements], rows.len(), self.classes),
            Values::F64(v) => Matrix::new(&v[elements], rows.len(), self.classes),
            other => panic!("{} are no probabilities", other.dtype()),
        };
        probs.expect("its shape").into()
    }

    /// What a stream has to know of the batch: the targets, unless they are probabilities, which come with
    /// the windows.
    fn batch(&self) -> BatchTargets<'_> {
        let mut batch = match &self.probs {
            Some(_) => BatchTargets::probs_in_windows(self.rows),
            None => BatchTargets::new(&self.targets),
        };
        batch.mask = self.mask.as_deref();
        batch
    }

    /// Some rows of what the layer reads, and their upstream gradient.
    fn rows(&self, rows: Range<usize>, op: &LinearCrossEntropy) -> (Array, Upstream<'_>) {
        let hidden = part_of(&self.hidden, rows.start * self.width..rows.end * self.width);
        match op.loss().reduction() {
            Reduction::None => (hidden, Upstream::Each((&self.dloss[rows]).into())),
            reduction => (hidden, self.input(reduction).upstream),
        }
    }

    fn target(&self, row: usize) -> Option<usize> {
        usize::try_from(self.targets[row]).ok()
    }
}

/// Some of an array's elements.
pub fn part_of(array: &Array, range: Range<usize>) -> Array {
    let part: Vec<f32> = array.to_f64()[range].iter().map(|&x| x as f32).collect();
    stored(&part, array.dtype())
}

/// A batch in windows of so many rows, for each of which the layer comes in blocks of so many classes,
/// put together; the rows' best columns are those of the whole.
pub fn in_blocks(
    device: &Device,
    op: &LinearCrossEntropy,
    layer: &Layer,
    (window, block): (usize, usize),
) -> LinearCrossEntropyOutput {
    let (input, width) = (layer.input(op.loss().reduction()), layer.width);
    // What blocks have room for may be too little for the whole.
    let roomy = op.clone().with_scratch_bytes(1 << 20);
    let mut whole = device.run(&roomy, input).expect("sound");
    let mut stream = device.stream_classes(op, layer.classes, input.targets).expect("sound");
    let mut rows = Parts::default();
    let mut dweight = vec![0.0f64; layer.classes * width];
    let mut dbias = vec![0.0f64; layer.classes];
    let add = |sums: &mut [f64], part: Option<Array>| {
        let part = part.map_or(Vec::new(), |part| part.to_f64());
        sums.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
    };
    for first in (0..layer.rows).step_by(window) {
        let (hidden, upstream) = layer.rows(first..layer.rows.min(first + window), op);
        let hidden = Matrix::new(hidden.values(), hidden.len() / width, width).expect("its shape");
        let mut of_rows = stream.window(hidden, upstream).expect("sound");
        for _ in 0..of_rows.passes() {
            for first in (0..layer.classes).step_by(block) {
                let classes = first..layer.classes.min(first + block);
                let weight = part_of(&layer.weight, classes.start * width..classes.end * width);
                let bias = layer.bias.as_ref().map(|bias| part_of(bias, classes.clone()));
                let weight = Matrix::new(weight.values(), classes.len(), width).expect("shape");
                let part = of_rows.push(weight, bias.as_ref().map(Array::values)).expect("sound");
                add(&mut dweight[classes.start * width..], part.dweight);
                add(&mut dbias[classes.start..], part.dbias);
            }
        }
        rows.take(of_rows.finish().expect("sound"));
    }
    let total = stream.finish().expect("whole");
    rows.put(&mut whole, total);
    whole.dweight = whole.dweight.map(|_| Array::F64(dweight));
    whole.dbias = whole.dbias.map(|_| Array::F64(dbias));
    whole
}

/// What windows come to, one behind the other.
#[derive(Default)]
struct Parts {
    dhidden: Vec<f64>,
    each: Vec<f64>,
    lse: Vec<f64>,
}

impl Parts {
    fn take(&mut self, part: Part) {
        let parts = [part.matrix, part.each, part.lse];
        for (all, part) in [&mut self.dhidden, &mut self.each, &mut self.lse].into_iter().zip(parts)
        {
            all.extend(part.map_or(Vec::new(), |array| array.to_f64()));
        }
    }

    fn put(self, whole: &mut LinearCrossEntropyOutput, total: Total) {
        whole.loss = total.loss.map_or(Loss::Each(Array::F64(self.each)), Loss::Reduced);
        whole.lse = Array::F64(self.lse);
        whole.dhidden = whole.dhidden.take().map(|whole| match whole.dtype() {
            Dtype::F64 => Array::F64(self.dhidden),
            dtype => {
                let values: Vec<f32> = self.dhidden.iter().map(|&x| x as f32).collect();
                stored(&values, dtype)
            }
        });
        (whole.kept_rows, whole.total_weight) = (total.kept_rows, total.total_weight);
        whole.metrics = total.metrics.zip(whole.metrics.take()).map(|(mut cut, whole)| {
            assert!(cut.argmax.is_empty(), "a total has no columns");
            cut.argmax = whole.argmax;
            cut
        });
    }
}

/// A batch in windows of rows, put together; the rows' best columns are those of the whole.
pub fn in_windows(
    device: &Device,
    op: &LinearCrossEntropy,
    layer: &Layer,
    window: usize,
) -> LinearCrossEntropyOutput {
    let input = layer.input(op.loss().reduction());
    let mut whole = device.run(op, input).expect("sound");
    let stream = device.stream_linear(op, input.weight, input.bias, layer.batch());
    let mut stream = stream.expect("sound");
    let mut rows = Parts::default();
    for first in (0..layer.rows).step_by(window) {
        let of_window = first..layer.rows.min(first + window);
        let (hidden, upstream) = layer.rows(of_window.clone(), op);
        let count = hidden.len() / layer.width;
        let matrix = Matrix::new(hidden.values(), count, layer.width).expect("its shape");
        let part = match layer.labels(of_window) {
            Targets::Probs(probs) => stream.push_with_probs(matrix, probs, upstream),
            _ => stream.push(matrix, upstream),
        };
        rows.take(part.expect("sound"));
    }
    let total = stream.finish().expect("whole");
    rows.put(&mut whole, total.total);
    (whole.dweight, whole.dbias) = (total.dweight, total.dbias);
    whole
}

/// The stored logits of the kept rows, 0 elsewhere, and how far they may be off.
fn logits(layer: &Layer, arithmetic: Arithmetic) -> (Vec<f64>, Vec<f64>) {
    let (width, classes) = (layer.width, layer.classes);
    let (hidden, weight) = (layer.hidden.to_f64(), layer.weight.to_f64());
    let bias = layer.bias.as_ref().map_or(vec![0.0; classes], Array::to_f64);
    let mut logits = vec![0.0; layer.rows * classes];
    let mut errors = vec![0.0f64; layer.rows];
    for row in (0..layer.rows).filter(|&row| layer.target(row).is_some()) {
        let x = &hidden[row * width..(row + 1) * width];
        for j in 0..classes {
            let w = &weight[j * width..(j + 1) * width];
            let terms = || x.iter().zip(w).map(|(x, w)| x * w);
            logits[row * classes + j] = terms().sum::<f64>() + bias[j];
            let magnitude = terms().map(f64::abs).sum::<f64>() + bias[j].abs();
            let error = tolerance::product(arithmetic, width + 1, magnitude);
            errors[row] = errors[row].max(error);
        }
    }
    (logits, errors)
}

/// Loss and gradients with any options, against the reference, and the loss alone against that.
pub fn check(subject: &Subject, layer: &Layer, op: &LinearCrossEntropy) -> Outcome {
    let got = subject.device.run(op, layer.input(op.loss().reduction()));
    check_output(subject, layer, op, &got.map_err(|error| error.to_string())?)
}

/// What an operation came to, however it was computed.
pub fn check_output(
    subject: &Subject,
    layer: &Layer,
    op: &LinearCrossEntropy,
    got: &LinearCrossEntropyOutput,
) -> Outcome {
    let (loss, arithmetic) = (op.loss(), subject.arithmetic);
    let input = layer.input(loss.reduction());
    let error = |error: surprisal::Error| error.to_string();
    let shape = (layer.rows, layer.width, layer.classes, layer.hidden.dtype());
    let what = |name: &str| format!("{} {shape:?} {op:?}: {name}", subject.name);
    let want =
        reference::linear_cross_entropy(&op.clone().with_gradient(), &input).map_err(error)?;
    if (got.kept_rows, got.metrics.is_some()) != (want.kept_rows, loss.has_metrics()) {
        return Err(what("kept rows and metrics"));
    }
    let (logits, errors) = logits(layer, arithmetic);
    let (classes, lse) = (layer.classes, want.lse.to_f64());
    let bounds = row_bounds(arithmetic, loss, layer, (&logits, &errors), &lse);
    check_losses(subject, layer, loss, (got, &want), &bounds).map_err(|e| what(&e))?;
    compare_all(&what("lse"), &got.lse, &lse, |row| {
        bounds[row].as_ref().map_or(0.0, RowBound::lse)
    })?;
    check_metrics(loss, got, &want).map_err(|e| what(&e))?;

    // The gradient of the logits, and how far it may be off.
    let columns: Vec<Column> = (0..layer.rows * classes)
        .map(|i| column(loss, layer, (i / classes, i % classes), &bounds, logits[i], &want))
        .collect();
    let sum = |terms: &mut dyn Iterator<Item = (usize, f64)>| {
        let (mut count, mut off, mut magnitude) = (0, 0.0, 0.0);
        for (i, factor) in terms {
            count += 1;
            off += columns[i].off * factor.abs();
            magnitude += columns[i].size * factor.abs();
        }
        off + tolerance::product(arithmetic, count, magnitude + off)
    };
    let (hidden, weight, width) = (layer.hidden.to_f64(), layer.weight.to_f64(), layer.width);
    let kept = || (0..layer.rows).filter(|&row| layer.target(row).is_some());
    let outputs = [
        (op.has_hidden_gradient(), "dhidden", &got.dhidden, &want.dhidden),
        (op.has_weight_gradient(), "dweight", &got.dweight, &want.dweight),
        (op.has_bias_gradient() && layer.bias.is_some(), "dbias", &got.dbias, &want.dbias),
    ];
    for (asked, name, got, want) in outputs {
        let (Some(got), true) = (got, asked) else {
            if got.is_some() || asked {
                return Err(what(&format!("{name} is there or is not")));
            }
            continue;
        };
        let want = want.as_ref().map(Array::to_f64).unwrap_or_default();
        compare_all(&what(name), got, &want, |i| match name {
            "dhidden" => {
                let (row, h) = (i / width, i % width);
                sum(&mut (0..classes).map(|j| (row * classes + j, weight[j * width + h])))
            }
            "dweight" => {
                let (j, h) = (i / width, i % width);
                sum(&mut kept().map(|row| (row * classes + j, hidden[row * width + h])))
            }
            _ => sum(&mut kept().map(|row| (row * classes + i, 1.0))),
        })?;
    }
    Ok(())
}

fn chain(loss: &CrossEntropy, x: f64) -> (f64, f64) {
    let z = x * loss.logit_scale();
    loss.softcap().map_or((z, loss.logit_scale()), |cap| {
        (cap * (z / cap).tanh(), loss.logit_scale() / (z / cap).cosh().powi(2))
    })
}

/// Of a row that counts.
enum RowBound {
    Index { bounds: OptionBounds, y: usize },
    Labels(LabelBounds),
}

impl RowBound {
    fn lse(&self) -> f64 {
        match self {
            Self::Index { bounds, .. } => bounds.lse(),
            Self::Labels(bounds) => bounds.scores.lse(),
        }
    }

    fn loss(&self, loss: f64) -> f64 {
        match self {
            Self::Index { bounds, y } => bounds.loss(*y, loss),
            Self::Labels(bounds) => bounds.loss(loss),
        }
    }

    fn column(&self, j: usize, dloss: f64, slope: f64) -> Column {
        match self {
            Self::Index { bounds, y } => Column {
                size: bounds.column_size(j, *y, dloss, slope),
                off: bounds.column(j, *y, dloss, slope),
            },
            Self::Labels(bounds) => bounds.column(j, dloss, slope),
        }
    }
}

/// Of a row of probability targets, from the bounds of cross-entropy's parts: `sum_j parts[j] nll[j]`.
struct LabelBounds {
    arithmetic: Arithmetic,
    scores: Scores,
    parts: Vec<f64>,
    /// Softmax of the row.
    p: Vec<f64>,
    lse: f64,
    z_loss: f64,
    per_nat: f64,
    /// Relative error of the chain's slope that the error of its input makes.
    slope_error: f64,
}

impl LabelBounds {
    /// Of logits that are off by `error`, for their z and the lse as the reference has them.
    fn new(
        arithmetic: Arithmetic,
        loss: &CrossEntropy,
        labels: &[f64],
        z: &[f64],
        (lse, error): (f64, f64),
    ) -> Self {
        let (e, count) = (loss.label_smoothing(), labels.len() as f64);
        let weight = |j: usize| loss.class_weights().map_or(1.0, |weights| weights[j]);
        let scaled = error * loss.logit_scale().abs();
        let has_chain = loss.softcap().is_some() || loss.logit_scale() != 1.0;
        let largest = z.iter().fold(0.0, |max: f64, z| max.max(z.abs()));
        let chained = if has_chain { tolerance::few(arithmetic, largest) } else { 0.0 };
        let part = |(j, label): (usize, &f64)| weight(j) * ((1.0 - e) * label + e / count);
        Self {
            arithmetic,
            scores: Scores::new(arithmetic, z, chained + scaled, false),
            parts: labels.iter().enumerate().map(part).collect(),
            p: z.iter().map(|z| (z - lse).exp()).collect(),
            lse,
            z_loss: loss.z_loss().abs(),
            per_nat: loss.unit().per_nat(),
            slope_error: loss.softcap().map_or(0.0, |cap| 2.0 * scaled / cap),
        }
    }

    fn loss(&self, loss: f64) -> f64 {
        let lse = self.scores.lse() + tolerance::few(self.arithmetic, self.lse.abs());
        let z_loss = 2.0 * self.z_loss * self.lse.abs() * lse;
        self.per_nat * (self.scores.cross(&self.parts) + z_loss)
            + tolerance::few(self.arithmetic, loss.abs())
    }

    fn column(&self, j: usize, dloss: f64, slope: f64) -> Column {
        let more = (2.0 * self.z_loss * self.lse.abs(), 2.0 * self.z_loss * self.scores.lse());
        let total: f64 = self.parts.iter().map(|part| part.abs()).sum();
        let above = self.per_nat * dloss * slope.abs();
        let size = above * ((total + more.0) * self.p[j] + self.parts[j].abs());
        let off = above * self.scores.pull(j, &self.parts, more)
            + self.slope_error * size
            + tolerance::few(self.arithmetic, 4.0 * size);
        Column { size, off }
    }
}

fn row_bounds(
    arithmetic: Arithmetic,
    loss: &CrossEntropy,
    layer: &Layer,
    (logits, errors): (&[f64], &[f64]),
    lse: &[f64],
) -> Vec<Option<RowBound>> {
    let labels = layer.probs.as_ref().map(Array::to_f64);
    let rows = logits.chunks(layer.classes).zip(errors).enumerate();
    rows.map(|(row, (x, &error))| {
        let (z, y) = (x.iter().map(|&x| chain(loss, x).0).collect::<Vec<_>>(), layer.target(row)?);
        Some(if let Some(labels) = &labels {
            let labels = &labels[row * layer.classes..][..layer.classes];
            RowBound::Labels(LabelBounds::new(arithmetic, loss, labels, &z, (lse[row], error)))
        } else {
            let bounds = OptionBounds::new(arithmetic, loss, &z, y, lse[row]);
            RowBound::Index { bounds: bounds.with_logit_error(loss, error), y }
        })
    })
    .collect()
}

/// An element of the gradient of the logits.
struct Column {
    size: f64,
    off: f64,
}

fn column(
    loss: &CrossEntropy,
    layer: &Layer,
    (row, j): (usize, usize),
    bounds: &[Option<RowBound>],
    logit: f64,
    want: &LinearCrossEntropyOutput,
) -> Column {
    let Some(bound) = &bounds[row] else { return Column { size: 0.0, off: 0.0 } };
    let divisor = loss.normalizer().unwrap_or(want.total_weight);
    let dloss = match loss.reduction() {
        Reduction::None => f64::from(layer.dloss[row]).abs(),
        Reduction::Mean => 1.5 / divisor,
        _ => 1.5,
    };
    bound.column(j, dloss, chain(loss, logit).1)
}

fn check_losses(
    subject: &Subject,
    layer: &Layer,
    loss: &CrossEntropy,
    (got, want): (&LinearCrossEntropyOutput, &LinearCrossEntropyOutput),
    bounds: &[Option<RowBound>],
) -> Outcome {
    let none = loss.clone().with_normalizer(None).with_reduction(Reduction::None);
    let rows = layer.input(Reduction::None);
    let rows = reference::linear_cross_entropy(&LinearCrossEntropy::new(none), &rows);
    let losses = rows.map_err(|error| error.to_string())?.loss;
    let losses = losses.each().map(Array::to_f64).unwrap_or_default();
    let bound = |row: usize| bounds[row].as_ref().map_or(0.0, |bound| bound.loss(losses[row]));
    let want_weight = want.total_weight;
    match (&got.loss, &want.loss) {
        (Loss::Each(got), Loss::Each(want)) => compare_all("loss", got, &want.to_f64(), bound),
        (got, want) => {
            let divisor = loss.normalizer().unwrap_or(want_weight);
            let scale = if loss.reduction() == Reduction::Mean { divisor } else { 1.0 };
            let sum: f64 = losses.iter().map(|loss| loss.abs()).sum();
            let bound = (0..layer.rows).map(bound).sum::<f64>()
                + tolerance::loss_sum(subject.arithmetic, sum);
            let (got, want) = (got.reduced().unwrap_or(-1.0), want.reduced().unwrap_or(-2.0));
            compare("loss", 0, got, want, bound / scale)
        }
    }
}

/// Best columns may differ where two logits are as good as equal, which these are not.
fn check_metrics(
    loss: &CrossEntropy,
    got: &LinearCrossEntropyOutput,
    want: &LinearCrossEntropyOutput,
) -> Outcome {
    let (Some(got), Some(want), true) = (&got.metrics, &want.metrics, loss.has_metrics()) else {
        return Ok(());
    };
    let close = (got.perplexity - want.perplexity).abs() <= 1e-4 * want.perplexity;
    let same = (&got.argmax, got.correct) == (&want.argmax, want.correct);
    if same && close { Ok(()) } else { Err(format!("metrics: {got:?}, want {want:?}")) }
}

/// Every option of cross-entropy, alone and together.
pub fn options(classes: usize) -> Vec<CrossEntropy> {
    let new = CrossEntropy::new;
    let weights: Vec<f64> = (0..classes).map(|j| (j % 5) as f64 / 3.0).collect();
    vec![
        new(),
        new().with_reduction(Reduction::Sum).with_unit(surprisal::Unit::Bits),
        new().with_reduction(Reduction::None),
        new().with_reduction(Reduction::None).with_metrics(),
        new().with_class_weights(weights.clone()),
        new().with_label_smoothing(0.1).with_normalizer(17.5),
        new().with_z_loss(1e-2).with_logit_scale(0.5),
        new().with_logit_scale(-1.5).with_label_smoothing(0.2).with_metrics(),
        new().with_softcap(3.0),
        new()
            .with_class_weights(weights)
            .with_label_smoothing(0.2)
            .with_z_loss(1e-2)
            .with_softcap(5.0)
            .with_logit_scale(-1.5)
            .with_metrics(),
    ]
}

/// With gradients, and without.
pub fn check_both(subject: &Subject, layer: &Layer, loss: CrossEntropy) {
    let op = LinearCrossEntropy::new(loss);
    check(subject, layer, &op.clone().with_gradient()).expect("within bounds");
    check(subject, layer, &op).expect("within bounds");
}
