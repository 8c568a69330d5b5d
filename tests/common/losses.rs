//! The rest of the loss family: each loss on one case, any device against the reference.

use surprisal::{
    Array, BinaryCrossEntropy, BinaryFocal, CrossEntropy, CrossEntropyInput, CrossEntropyOutput,
    Device, DivergenceInput, DivergenceOutput, Elementwise, ElementwiseInput, ElementwiseLoss,
    ElementwiseOutput, Entropy, EntropyBackward, EntropyBackwardInput, Focal, InputForm,
    JsDivergence, KlDivergence, Loss, Matrix, Metrics, Op, Reduction, Surprisal, Upstream,
};

use super::Subject;
use super::cases::{Case, Rng};
use super::suite::{Outcome, compare, compare_all};
use super::tolerance::{self, Scores};

#[expect(clippy::needless_pass_by_value, reason = "it is a map_err adapter")]
fn error(error: surprisal::Error) -> String {
    error.to_string()
}

/// A number for each loss, reproducibly.
pub fn upstream_values(losses: usize) -> Vec<f32> {
    let mut rng = Rng::new(losses as u64 + 7);
    (0..losses).map(|_| rng.normal() as f32).collect()
}

const SCALAR: f64 = 0.75;

/// What is above a loss, and how much of it a loss gets.
struct Above {
    values: Vec<f32>,
    reduction: Reduction,
    divisor: f64,
}

impl Above {
    fn new(reduction: Reduction, losses: usize, divisor: f64) -> Self {
        Self { values: upstream_values(losses), reduction, divisor }
    }

    fn upstream(&self) -> Upstream<'_> {
        match self.reduction {
            Reduction::None => Upstream::Each((&self.values).into()),
            _ => Upstream::Scalar(SCALAR),
        }
    }

    fn of(&self, loss: usize) -> f64 {
        match self.reduction {
            Reduction::None => f64::from(self.values[loss]).abs(),
            Reduction::Mean => SCALAR / self.divisor,
            _ => SCALAR,
        }
    }

    /// The reported loss against the reference's, from the bound of each.
    fn compare(
        &self,
        (what, subject): (&str, &Subject),
        got: &Loss,
        each: &[f64],
        bound: &dyn Fn(usize) -> f64,
    ) -> Outcome {
        let Some(got) = got.reduced() else {
            let got = got.each().ok_or("no losses")?;
            return compare_all(what, got, each, bound);
        };
        let scale = if self.reduction == Reduction::Mean { self.divisor } else { 1.0 };
        let want = each.iter().sum::<f64>() / scale;
        let magnitude: f64 = each.iter().map(|loss| loss.abs()).sum();
        if magnitude > f64::from(f32::MAX) && got == f64::INFINITY {
            return Ok(());
        }
        let bounds: f64 = (0..each.len()).map(bound).sum();
        let sum = tolerance::loss_sum(subject.arithmetic, magnitude);
        compare(what, 0, got, want, (bounds + sum) / scale)
    }
}

/// An operation and its options, shortened.
fn shown(op: &impl std::fmt::Debug) -> String {
    format!("{op:?}").chars().take(160).collect()
}

fn each(loss: &Loss) -> Vec<f64> {
    loss.each().map(Array::to_f64).unwrap_or_default()
}

fn values(array: Option<&Array>) -> Vec<f64> {
    array.map(Array::to_f64).unwrap_or_default()
}

/// The same case without ignored rows, which some losses do not know: numbers in their place.
pub fn without_ignored(mut case: Case) -> Case {
    let mut rng = Rng::new(5);
    for row in 0..case.rows {
        if case.targets[row] < 0 {
            case.targets[row] = 0;
            for x in &mut case.logits[row * case.classes..(row + 1) * case.classes] {
                *x = rng.normal() as f32;
            }
        }
    }
    case
}

/// Probabilities for a case: soft, with zeros, or one-hot; by row. Values that its dtype has.
pub fn labels(case: &Case, seed: u64) -> Vec<f32> {
    let mut rng = Rng::new(seed);
    let mut q = Vec::with_capacity(case.rows * case.classes);
    for row in 0..case.rows {
        let start = q.len();
        for j in 0..case.classes {
            q.push(match row % 3 {
                1 if rng.below(3) > 0 => 0.0,
                0 | 1 => rng.uniform(),
                _ => f64::from(u8::from(usize::try_from(case.targets[row]).unwrap_or(0) == j)),
            });
        }
        let sum: f64 = q[start..].iter().sum();
        q[start..].iter_mut().for_each(|q| *q /= sum.max(1e-9));
    }
    case.rounded(&q.into_iter().map(|q| q as f32).collect::<Vec<_>>())
}

/// Puts a subnormal f32 in the place of every sixth number, from the smallest to the largest.
pub fn with_subnormals(mut p: Vec<f32>) -> Vec<f32> {
    for (i, p) in p.iter_mut().skip(2).step_by(6).enumerate() {
        *p = f32::from_bits((2 << (i % 23)) - 1);
    }
    p
}

/// What the bounds of a row of cross-entropy are made of.
struct Row {
    scores: Scores,
    /// dz / dx.
    slope: Vec<f64>,
    /// The bare target: one-hot or the labels.
    labels: Vec<f64>,
    /// What each class has of the loss.
    parts: Vec<f64>,
    is_kept: bool,
    /// 2 |z-loss lse|.
    z_slope: f64,
}

/// z of an element, and its derivative.
fn chain(op: &CrossEntropy, x: f64) -> (f64, f64) {
    match (op.form(), op.softcap()) {
        (InputForm::LogProbs, _) => (x, 1.0),
        (InputForm::Probs, _) if x >= op.clamp() => (x.ln(), 1.0 / x),
        (InputForm::Probs, _) => (op.clamp().ln(), 0.0),
        (_, None) => (x * op.logit_scale(), op.logit_scale()),
        (_, Some(cap)) => {
            let y = x * op.logit_scale() / cap;
            (cap * y.tanh(), op.logit_scale() / y.cosh().powi(2))
        }
    }
}

impl Row {
    fn new(
        subject: &Subject,
        case: &Case,
        q: Option<&[f32]>,
        op: &CrossEntropy,
        (row, lse): (usize, f64),
    ) -> Self {
        let classes = case.classes;
        let x = &case.logits[row * classes..(row + 1) * classes];
        let (z, slope): (Vec<f64>, Vec<f64>) = x.iter().map(|&x| chain(op, x.into())).unzip();
        let arithmetic = subject.arithmetic;
        let is_plain = op.form() == InputForm::Logits && op.softcap().is_none();
        let z_error = match op.form() {
            InputForm::LogProbs => 0.0,
            InputForm::Probs => x
                .iter()
                .map(|&x| tolerance::log_of(arithmetic, f64::from(x).max(op.clamp())))
                .fold(0.0, f64::max),
            _ if is_plain && op.logit_scale() == 1.0 => 0.0,
            _ => {
                let finite = z.iter().filter(|z| z.is_finite());
                tolerance::few(arithmetic, finite.fold(0.0, |m: f64, z| m.max(z.abs())))
            }
        };
        let target = usize::try_from(case.targets[row]).ok();
        let label = |j: usize| match q {
            Some(q) => f64::from(q[row * classes + j]),
            None => f64::from(u8::from(target == Some(j))),
        };
        let labels: Vec<f64> = (0..classes).map(label).collect();
        let (e, weight) =
            (op.label_smoothing(), |j: usize| op.class_weights().map_or(1.0, |w| w[j]));
        let part = |j: usize| weight(j) * ((1.0 - e) * labels[j] + e / classes as f64);
        Self {
            scores: Scores::new(arithmetic, &z, z_error, op.form() != InputForm::Logits),
            parts: (0..classes).map(part).collect(),
            is_kept: q.is_some() || target.is_some(),
            z_slope: 2.0 * op.z_loss().abs() * if lse.is_finite() { lse.abs() } else { 0.0 },
            slope,
            labels,
        }
    }

    fn loss(&self, subject: &Subject, op: &CrossEntropy, (loss, lse): (f64, f64)) -> f64 {
        if !self.is_kept {
            return 0.0;
        }
        let lse = self.scores.lse() + tolerance::few(subject.arithmetic, lse.abs());
        op.unit().per_nat() * (self.scores.cross(&self.parts) + self.z_slope * lse)
            + tolerance::few(subject.arithmetic, loss.abs())
    }

    fn column(&self, op: &CrossEntropy, j: usize) -> f64 {
        if !self.is_kept {
            return 0.0;
        }
        let more = (self.z_slope, 2.0 * op.z_loss().abs() * self.scores.lse());
        op.unit().per_nat() * self.slope[j].abs() * self.scores.pull(j, &self.parts, more)
    }
}

/// Cross-entropy of any form with probability targets, or with index targets of a form that is not
/// logits; loss, gradients and metrics.
pub fn cross_entropy(
    subject: &Subject,
    case: &Case,
    q: Option<&[f32]>,
    op: &CrossEntropy,
) -> Outcome {
    let (rows, classes) = (case.rows, case.classes);
    let mut op = op.clone().with_gradient();
    if q.is_some() {
        op = op.with_target_gradient();
    }
    let what = |name: &str| format!("{} {} {}: {name}", subject.name, case.name, shown(&op));
    let stored = q.map(|q| case.stored(q));
    let run = |device: &Device, op: &CrossEntropy, upstream: Upstream<'_>| {
        let input = match &stored {
            Some(q) => {
                let q = Matrix::new(q.values(), rows, classes).map_err(error)?;
                CrossEntropyInput::new(case.matrix(), q)
            }
            None => CrossEntropyInput::new(case.matrix(), &case.targets),
        };
        device.run(op, input.with_upstream(upstream)).map_err(error)
    };
    let reference = Device::reference();
    let alone = op.clone().with_reduction(Reduction::None).with_normalizer(None);
    let plain: CrossEntropyOutput = run(&reference, &alone, Upstream::default())?;
    let divisor = op.normalizer().unwrap_or(plain.total_weight);
    let above = Above::new(op.reduction(), rows, divisor);
    let want = run(&reference, &op, above.upstream())?;
    let got = run(&subject.device, &op, above.upstream())?;
    let close = |got: f64, want: f64| (got - want).abs() <= 1e-6 * want.abs();
    if got.kept_rows != want.kept_rows || !close(got.total_weight, want.total_weight) {
        return Err(what("totals"));
    }
    let (lse, losses) = (want.lse.to_f64(), each(&plain.loss));
    let bounds: Vec<Row> =
        (0..rows).map(|row| Row::new(subject, case, q, &op, (row, lse[row]))).collect();
    above.compare((&what("loss"), subject), &got.loss, &losses, &|row| {
        bounds[row].loss(subject, &op, (losses[row], lse[row]))
    })?;
    compare_all(&what("lse"), &got.lse, &lse, |row| {
        if bounds[row].is_kept { bounds[row].scores.lse() } else { 0.0 }
    })?;
    let dlogits = values(want.dlogits.as_ref());
    compare_all(&what("dlogits"), &got.dlogits.ok_or("no gradient")?, &dlogits, |i| {
        let (row, j) = (i / classes, i % classes);
        above.of(row) * bounds[row].column(&op, j)
            + tolerance::few(subject.arithmetic, 4.0 * dlogits[i].abs())
    })?;
    if q.is_some() {
        let dtargets = values(want.dtargets.as_ref());
        let gradient = got.dtargets.ok_or("no gradient of the targets")?;
        compare_all(&what("dtargets"), &gradient, &dtargets, |i| {
            let (row, j) = (i / classes, i % classes);
            let weight = op.class_weights().map_or(1.0, |w| w[j]);
            let part = op.unit().per_nat() * (1.0 - op.label_smoothing()) * weight;
            above.of(row) * bounds[row].scores.weighted_nll(j, part)
                + tolerance::few(subject.arithmetic, dtargets[i].abs())
        })?;
    }
    match (got.metrics, want.metrics) {
        (Some(got), Some(want)) => metrics((&what("metrics"), subject), &got, &want, &bounds),
        (None, None) => Ok(()),
        _ => Err(what("metrics")),
    }
}

fn metrics(
    (what, subject): (&str, &Subject),
    got: &Metrics,
    want: &Metrics,
    bounds: &[Row],
) -> Outcome {
    // Inputs are compared as they are: there is nothing to round.
    if got.argmax != want.argmax {
        return Err(format!("{what}: argmax is {:?}, want {:?}", got.argmax, want.argmax));
    }
    let nll_bound: f64 =
        bounds.iter().filter(|row| row.is_kept).map(|row| row.scores.cross(&row.labels)).sum();
    let kept = bounds.iter().filter(|row| row.is_kept).count() as f64;
    if got.correct != want.correct || got.correct as f64 / kept != got.accuracy && kept > 0.0 {
        return Err(format!("{what}: {} correct, want {}", got.correct, want.correct));
    }
    let (got, want) = (got.perplexity.ln(), want.perplexity.ln());
    let sum = tolerance::loss_sum(subject.arithmetic, want.abs() * kept);
    let exp = tolerance::few(subject.arithmetic, want.abs().max(1.0));
    compare(what, 0, got, want, (nll_bound + sum) / kept + exp)
}

pub fn focal(subject: &Subject, case: &Case, op: &Focal) -> Outcome {
    let classes = case.classes;
    let op = op.clone().with_gradient();
    let what = |name: &str| format!("{} {} {}: {name}", subject.name, case.name, shown(&op));
    let run = |device: &Device, op: &Focal, upstream: Upstream<'_>| {
        let input = CrossEntropyInput::new(case.matrix(), &case.targets).with_upstream(upstream);
        device.run(op, input).map_err(error)
    };
    let alone = op.clone().with_reduction(Reduction::None);
    let plain = run(&Device::reference(), &alone, Upstream::default())?;
    let above = Above::new(op.reduction(), case.rows, plain.kept_rows as f64);
    let want = run(&Device::reference(), &op, above.upstream())?;
    let got = run(&subject.device, &op, above.upstream())?;
    if (got.kept_rows, got.total_weight) != (want.kept_rows, want.total_weight) {
        return Err(what("totals"));
    }
    let target = |row: usize| usize::try_from(case.targets[row]).ok();
    let alpha =
        |row: usize| target(row).map_or(0.0, |y| op.alpha().map_or(1.0, |alpha| alpha[y]).abs());
    let scores: Vec<Scores> = case
        .logits
        .chunks(classes)
        .map(|x| {
            let z: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
            Scores::new(subject.arithmetic, &z, 0.0, false)
        })
        .collect();
    let bound_of = |row: usize| target(row).map(|y| scores[row].focal(y, op.gamma()));
    let bounds: Vec<_> = (0..case.rows).map(bound_of).collect();
    let unit = op.unit().per_nat();
    above.compare((&what("loss"), subject), &got.loss, &each(&plain.loss), &|row| {
        bounds[row].map_or(0.0, |(loss, ..)| unit * alpha(row) * loss)
    })?;
    compare_all(&what("lse"), &got.lse, &want.lse.to_f64(), |row| scores[row].lse())?;
    let dlogits = values(want.dlogits.as_ref());
    compare_all(&what("dlogits"), &got.dlogits.ok_or("no gradient")?, &dlogits, |i| {
        let (row, j) = (i / classes, i % classes);
        let (Some(y), Some((_, slope, factor))) = (target(row), bounds[row]) else { return 0.0 };
        let column = scores[row].focal_column(j, y, (slope, factor));
        above.of(row) * unit * alpha(row) * column
            + tolerance::few(subject.arithmetic, dlogits[i].abs())
    })
}

/// Which divergence, with its options.
#[derive(Debug, Clone, Copy)]
pub enum Divergence {
    Kl(KlDivergence),
    Js(JsDivergence),
}

impl Divergence {
    fn run(self, device: &Device, input: DivergenceInput<'_>) -> Result<DivergenceOutput, String> {
        match self {
            Self::Kl(op) => device.run(&op, input),
            Self::Js(op) => device.run(&op, input),
        }
        .map_err(error)
    }

    fn by_row(self) -> Self {
        match self {
            Self::Kl(op) => Self::Kl(op.with_reduction(Reduction::None)),
            Self::Js(op) => Self::Js(op.with_reduction(Reduction::None)),
        }
    }

    fn with_gradient(self) -> Self {
        match self {
            Self::Kl(op) => Self::Kl(op.with_gradient()),
            Self::Js(op) => Self::Js(op.with_gradient()),
        }
    }

    /// Reduction, temperature, form of the teacher, nats to the unit.
    fn options(self) -> (Reduction, f64, InputForm, f64) {
        match self {
            Self::Kl(op) => (op.reduction(), op.temperature(), op.teacher(), op.unit().per_nat()),
            Self::Js(op) => (op.reduction(), op.temperature(), op.teacher(), op.unit().per_nat()),
        }
    }
}

pub fn divergence(subject: &Subject, teacher: &[f32], case: &Case, op: Divergence) -> Outcome {
    let (rows, classes) = (case.rows, case.classes);
    let op = op.with_gradient();
    let (reduction, temperature, form, unit) = op.options();
    let what = |name: &str| format!("{} {} {}: {name}", subject.name, case.name, shown(&op));
    let stored = case.stored(teacher);
    let teacher_matrix = Matrix::new(stored.values(), rows, classes).map_err(error)?;
    let input = DivergenceInput::new(teacher_matrix, case.matrix());
    let reference = Device::reference();
    let plain = op.by_row().run(&reference, input)?;
    let above = Above::new(reduction, rows, rows as f64);
    let input = input.with_upstream(above.upstream());
    let want = op.run(&reference, input)?;
    let got = op.run(&subject.device, input)?;
    let scaled = |x: &[f32]| {
        let z: Vec<f64> = x.iter().map(|&x| f64::from(x) / temperature).collect();
        let largest = z.iter().filter(|z| z.is_finite()).fold(0.0, |m: f64, z| m.max(z.abs()));
        let z_error =
            if temperature == 1.0 { 0.0 } else { tolerance::few(subject.arithmetic, largest) };
        Scores::new(subject.arithmetic, &z, z_error, false)
    };
    let pairs: Vec<(Scores, Scores)> = teacher
        .chunks(classes)
        .zip(case.logits.chunks(classes))
        .map(|(t, x)| {
            if form == InputForm::Logits {
                return (scaled(t), scaled(x));
            }
            let is_log = form == InputForm::LogProbs;
            let log = |t: &f32| if is_log { f64::from(*t) } else { f64::from(*t).ln() };
            let z: Vec<f64> = t.iter().map(log).collect();
            let logs = t.iter().filter(|t| **t > 0.0 && !is_log);
            let z_error = logs
                .map(|&t| tolerance::log_of(subject.arithmetic, f64::from(t)))
                .fold(0.0, f64::max);
            (Scores::new(subject.arithmetic, &z, z_error, true), scaled(x))
        })
        .collect();
    let losses = each(&plain.loss);
    let loss_bound = |row: usize| {
        let (p, q) = &pairs[row];
        let bound = match op {
            Divergence::Kl(op) if op.is_reverse() => q.kl(p),
            Divergence::Kl(_) => p.kl(q),
            Divergence::Js(op) => q.js(p, op.beta()),
        };
        unit * bound + tolerance::few(subject.arithmetic, losses[row].abs())
    };
    above.compare((&what("loss"), subject), &got.loss, &losses, &loss_bound)?;
    compare_all(&what("lse"), &got.lse, &want.lse.to_f64(), |row| pairs[row].1.lse())?;
    let dstudent = values(want.dstudent.as_ref());
    let of_rows = pairs.iter().zip(&losses).map(|((p, q), loss)| match op {
        Divergence::Kl(op) if op.is_reverse() => (loss / unit, q.kl(p)),
        Divergence::Kl(_) => p.total(),
        Divergence::Js(op) => (0.0, q.js_total(p, op.beta())),
    });
    let of_rows: Vec<(f64, f64)> = of_rows.collect();
    compare_all(&what("dstudent"), &got.dstudent.ok_or("no gradient")?, &dstudent, |i| {
        let (row, j) = (i / classes, i % classes);
        let (p, q) = &pairs[row];
        let column = match op {
            Divergence::Kl(op) if op.is_reverse() => q.reverse_column(p, j, of_rows[row]),
            Divergence::Kl(_) => q.kl_column(p, j, of_rows[row]),
            Divergence::Js(op) => q.js_column(p, j, op.beta(), of_rows[row].1),
        };
        above.of(row) * unit / temperature * column
            + tolerance::few(subject.arithmetic, dstudent[i].abs())
    })
}

/// Entropy, its backward, and surprisal.
pub fn entropies(subject: &Subject, case: &Case, unit: surprisal::Unit) -> Outcome {
    let what = |name: &str| format!("{} {}: {name}", subject.name, case.name);
    let scores: Vec<Scores> = case
        .logits
        .chunks(case.classes)
        .map(|x| {
            let z: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
            Scores::new(subject.arithmetic, &z, 0.0, false)
        })
        .collect();
    let scale = unit.per_nat();
    let op = Entropy::new().with_unit(unit);
    let run = |device: &Device| device.run(&op, case.matrix()).map_err(error);
    let (want, got) = (run(&Device::reference())?.to_f64(), run(&subject.device)?);
    compare_all(&what("entropy"), &got, &want, |row| {
        scale * scores[row].entropy() + tolerance::few(subject.arithmetic, want[row].abs())
    })?;
    let bounds = want.iter().zip(&scores).map(|(h, row)| (h / scale, row.entropy()));
    let entropies: Vec<(f64, f64)> = bounds.collect();
    let dentropy = upstream_values(case.rows);
    let op = EntropyBackward::new().with_unit(unit);
    let input = EntropyBackwardInput::new(case.matrix(), &dentropy);
    let want = Device::reference().run(&op, input).map_err(error)?.to_f64();
    let got = subject.device.run(&op, input).map_err(error)?;
    compare_all(&what("entropy backward"), &got, &want, |i| {
        let (row, j) = (i / case.classes, i % case.classes);
        let bound = scores[row].entropy_column(j, entropies[row]);
        f64::from(dentropy[row]).abs() * scale * bound
            + tolerance::few(subject.arithmetic, want[i].abs())
    })?;
    let op = Surprisal::new().with_unit(unit);
    let want = Device::reference().run(&op, case.matrix()).map_err(error)?.to_f64();
    let got = subject.device.run(&op, case.matrix()).map_err(error)?;
    compare_all(&what("surprisal"), &got, &want, |i| {
        scores[i / case.classes].weighted_nll(i % case.classes, scale)
            + tolerance::few(subject.arithmetic, want[i].abs())
    })
}

/// An elementwise loss, with how far an element may be off: (loss, derivative).
pub trait ElementLoss:
    Clone + std::fmt::Debug + for<'a> Op<Input<'a> = ElementwiseInput<'a>, Output = ElementwiseOutput>
{
    fn by_element(&self) -> Self;
    fn with_gradient(&self) -> Self;
    fn reduction(&self) -> Reduction;
    fn unit(&self) -> f64;
    fn bound(&self, subject: &Subject, x: f64, y: f64, column: usize) -> (f64, f64);
}

macro_rules! element_loss {
    ($op:ident, $unit:expr, $bound:expr) => {
        impl ElementLoss for $op {
            fn by_element(&self) -> Self {
                self.clone().with_reduction(Reduction::None)
            }
            fn with_gradient(&self) -> Self {
                self.clone().with_gradient()
            }
            fn reduction(&self) -> Reduction {
                self.reduction()
            }
            fn unit(&self) -> f64 {
                $unit(self)
            }
            fn bound(&self, subject: &Subject, x: f64, y: f64, column: usize) -> (f64, f64) {
                $bound(self, subject, x, y, column)
            }
        }
    };
}

fn probability(labels: surprisal::BinaryLabels, y: f64) -> f64 {
    if labels == surprisal::BinaryLabels::PlusMinus { f64::midpoint(y, 1.0) } else { y }
}

element_loss!(
    BinaryCrossEntropy,
    |op: &BinaryCrossEntropy| op.unit().per_nat(),
    |op: &BinaryCrossEntropy, subject: &Subject, x: f64, y: f64, column: usize| {
        let a = subject.arithmetic;
        let y = probability(op.labels(), y);
        if op.form() == InputForm::Logits {
            let positive = op.pos_weight().map_or(1.0, |weights| weights.of(column));
            return tolerance::binary_logits(a, x, y, positive);
        }
        let clamp = |log: f64| log.max(-100.0).abs();
        let loss = y * clamp(x.ln()) + (1.0 - y) * clamp((-x).ln_1p());
        let slope = (x - y).abs() / (x * (1.0 - x)).max(1e-12);
        (tolerance::few(a, 2.0 * loss), tolerance::few(a, slope))
    }
);
element_loss!(
    BinaryFocal,
    |op: &BinaryFocal| op.unit().per_nat(),
    |op: &BinaryFocal, subject: &Subject, x: f64, y: f64, _| {
        let y = probability(op.labels(), y);
        let (one, zero) = op.alpha().map_or((1.0, 1.0), |alpha| (alpha, 1.0 - alpha));
        tolerance::binary_focal(subject.arithmetic, x, op.gamma(), one * y, zero * (1.0 - y))
    }
);
element_loss!(
    Elementwise,
    |_: &Elementwise| 1.0,
    |op: &Elementwise, subject: &Subject, x: f64, y: f64, _| {
        let d = (x - y).abs();
        let (loss, slope) = match op.loss() {
            ElementwiseLoss::Squared => (d * d, 2.0 * d),
            ElementwiseLoss::Absolute => (d, 0.0),
            ElementwiseLoss::Huber { delta } if d <= delta => (d * d, d),
            ElementwiseLoss::Huber { delta } => (delta * (d + delta), 0.0),
            _ => (1.0 + x.abs(), 0.0),
        };
        (tolerance::few(subject.arithmetic, loss), tolerance::few(subject.arithmetic, slope))
    }
);

/// An elementwise loss on a case whose logits are its input.
pub fn elementwise<O: ElementLoss>(
    subject: &Subject,
    case: &Case,
    (y, weights): (&[f32], Option<&[f32]>),
    op: &O,
) -> Outcome {
    let (rows, columns) = (case.rows, case.classes);
    let elements = rows * columns;
    let what = |name: &str| format!("{} {} {}: {name}", subject.name, case.name, shown(&op));
    let (stored, factors) = (case.stored(y), weights.map(|weights| case.stored(weights)));
    let targets = Matrix::new(stored.values(), rows, columns).map_err(error)?;
    let weight_matrix = match &factors {
        Some(factors) => Some(Matrix::new(factors.values(), rows, columns).map_err(error)?),
        None => None,
    };
    let input = ElementwiseInput::new(case.matrix(), targets).with_weights(weight_matrix);
    let reference = Device::reference();
    let plain = reference.run(&op.by_element(), input).map_err(error)?;
    let above = Above::new(op.reduction(), elements, elements as f64);
    let with_gradient = op.with_gradient();
    let input = input.with_upstream(above.upstream());
    let want = reference.run(&with_gradient, input).map_err(error)?;
    let got = subject.device.run(&with_gradient, input).map_err(error)?;
    let without = subject.device.run(op, input).map_err(error)?;
    if format!("{:?}", without.loss) != format!("{:?}", got.loss) || without.dinput.is_some() {
        return Err(what("the loss alone differs from the loss with gradient"));
    }
    let bound = |i: usize| {
        let weight = weights.map_or(1.0, |weights| f64::from(weights[i]).abs()) * op.unit();
        if !case.logits[i].is_finite() {
            return (0.0, 0.0);
        }
        let (loss, slope) =
            op.bound(subject, f64::from(case.logits[i]), f64::from(y[i]), i % columns);
        (weight * loss, weight * slope)
    };
    let losses = each(&plain.loss);
    above.compare((&what("loss"), subject), &got.loss, &losses, &|i| {
        bound(i).0 + tolerance::few(subject.arithmetic, losses[i].abs())
    })?;
    let dinput = values(want.dinput.as_ref());
    compare_all(&what("dinput"), &got.dinput.ok_or("no gradient")?, &dinput, |i| {
        above.of(i) * bound(i).1 + tolerance::few(subject.arithmetic, dinput[i].abs())
    })
}
