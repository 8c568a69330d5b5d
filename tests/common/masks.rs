//! Masks: what does not count is not read and comes to 0; what counts has the bits that it has in a batch
//! without a mask. Every operation on one batch, on any device.

use super::reference;
use surprisal::{
    Array, BinaryCrossEntropy, BinaryFocal, BinaryLabels, CrossEntropy, CrossEntropyInput, Device,
    DivergenceInput, Dtype, Elementwise, ElementwiseInput, ElementwiseLoss, ElementwiseOutput,
    Entropy, EntropyBackward, EntropyBackwardInput, Error, Focal, InputForm, JsDivergence,
    KlDivergence, LogSoftmax, LogSoftmaxBackward, LogSoftmaxBackwardInput, LogSumExp,
    LogSumExpBackward, LogSumExpBackwardInput, LogitsInput, Loss, Matrix, Reduction, Softmax,
    SoftmaxBackward, SoftmaxBackwardInput, Surprisal, Targets, Unit, Upstream,
};

use super::Subject;
use super::cases::{Rng, stored};
use super::suite::{Outcome, compare};
use super::tolerance;

/// What operations read, with a mask; what does not count is sound, or else nothing that any operation
/// could take.
#[derive(Debug)]
pub struct Data {
    pub rows: usize,
    pub classes: usize,
    pub logits: Array,
    pub probs: Array,
    pub log_probs: Array,
    /// 0 and 1.
    pub labels: Array,
    pub weights: Array,
    pub targets: Vec<i64>,
    pub upstream: Vec<f32>,
    pub element_upstream: Vec<f32>,
}

/// Which rows, or which elements, count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    Some,
    All,
    None,
}

impl Kept {
    pub const EACH: &[Self] = &[Self::Some, Self::All, Self::None];
    pub const MIXED: &[Self] = &[Self::Some];

    pub fn mask(self, count: usize) -> Vec<bool> {
        let mut rng = Rng::new(count as u64 + 3);
        let is_kept = |i: usize, rng: &mut Rng| match self {
            Self::All => true,
            Self::None => false,
            Self::Some => i.is_multiple_of(5) || rng.below(3) > 0 && i % 7 != 1,
        };
        (0..count).map(|i| is_kept(i, &mut rng)).collect()
    }
}

impl Data {
    pub fn new(rows: usize, classes: usize, dtype: Dtype) -> Self {
        let mut rng = Rng::new((rows * 131 + classes) as u64);
        let logits: Vec<f32> = (0..rows * classes).map(|_| 3.0 * rng.normal() as f32).collect();
        let others: Vec<f64> = (0..rows * classes).map(|_| rng.normal()).collect();
        let probs = reference::softmax(Matrix::new(&others, rows, classes).expect("its shape"));
        let floats = |values: &[f64]| values.iter().map(|&x| x as f32).collect::<Vec<_>>();
        let logs: Vec<f32> = probs.iter().map(|p| p.ln() as f32).collect();
        let labels: Vec<f32> = (0..rows * classes).map(|_| rng.below(2) as f32).collect();
        let weights: Vec<f32> = (0..rows * classes).map(|_| rng.uniform() as f32).collect();
        Self {
            rows,
            classes,
            logits: stored(&logits, dtype),
            probs: stored(&floats(&probs), dtype),
            log_probs: stored(&logs, dtype),
            labels: stored(&labels, dtype),
            weights: stored(&weights, dtype),
            targets: (0..rows).map(|_| i64::try_from(rng.below(classes)).expect("small")).collect(),
            upstream: (0..rows).map(|_| rng.normal() as f32).collect(),
            element_upstream: (0..rows * classes).map(|_| rng.normal() as f32).collect(),
        }
    }

    /// With what is not to be read in the place of all that does not count.
    pub fn poisoned(&self, mask: &[bool]) -> Self {
        let each = mask.len() / self.rows.max(1);
        let counts = |i: usize| mask[i * each / self.classes.max(1)];
        let numbers = [f32::NAN, f32::INFINITY, -7.0, f32::NEG_INFINITY];
        let poison = |array: &Array| {
            let values = array.to_f64().into_iter().enumerate();
            let poisoned = values.map(|(i, x)| if counts(i) { x as f32 } else { numbers[i % 4] });
            stored(&poisoned.collect::<Vec<_>>(), array.dtype())
        };
        let of_rows = |row: usize| each > 1 || mask[row];
        Self {
            rows: self.rows,
            classes: self.classes,
            logits: poison(&self.logits),
            probs: poison(&self.probs),
            log_probs: poison(&self.log_probs),
            labels: poison(&self.labels),
            weights: poison(&self.weights),
            targets: (0..self.rows)
                .map(|row| if of_rows(row) { self.targets[row] } else { 1 << 40 })
                .collect(),
            upstream: (0..self.rows)
                .map(|row| if of_rows(row) { self.upstream[row] } else { f32::NAN })
                .collect(),
            element_upstream: (0..self.element_upstream.len())
                .map(|i| if counts(i) { self.element_upstream[i] } else { f32::NAN })
                .collect(),
        }
    }

    pub fn matrix<'a>(&self, array: &'a Array) -> Matrix<'a> {
        Matrix::new(array.values(), self.rows, self.classes).expect("its shape")
    }

    fn above(&self, reduction: Reduction) -> Upstream<'_> {
        match reduction {
            Reduction::None => Upstream::Each((&self.upstream).into()),
            _ => Upstream::Scalar(0.75),
        }
    }
}

/// What an operation comes to.
#[derive(Debug, Default)]
struct Results {
    loss: Option<f64>,
    /// Some numbers a row, or a number an element.
    each: Vec<Vec<f64>>,
    kept_rows: Option<u64>,
    argmax: Option<Vec<i64>>,
}

impl Results {
    fn of(loss: &Loss, others: impl IntoIterator<Item = Option<Array>>) -> Self {
        let others = others.into_iter().flatten();
        let losses = loss.each().cloned();
        let each = losses.into_iter().chain(others).map(|array| array.to_f64()).collect();
        Self { loss: loss.reduced(), each, ..Self::default() }
    }
}

type Run = Box<dyn Fn(&Device, &Data, Option<&[bool]>, Reduction) -> Result<Results, Error>>;

/// A loss, or a transform, of rows.
struct RowOp {
    name: String,
    is_loss: bool,
    run: Run,
}

fn cross_entropy(op: CrossEntropy, of: fn(&Data) -> (&Array, Targets<'_>)) -> RowOp {
    let name = format!("{op:?}");
    let run: Run = Box::new(move |device, data, mask, reduction| {
        let op = op.clone().with_reduction(reduction).with_gradient();
        let (input, targets) = of(data);
        let input = CrossEntropyInput::new(data.matrix(input), targets)
            .with_upstream(data.above(reduction));
        let input = mask.map_or(input, |mask| input.with_mask(mask));
        let output = device.run(&op, input)?;
        let others = [Some(output.lse), output.dlogits, output.dtargets];
        let argmax = output.metrics.map(|metrics| metrics.argmax);
        let kept_rows = Some(output.kept_rows);
        Ok(Results { kept_rows, argmax, ..Results::of(&output.loss, others) })
    });
    RowOp { name, is_loss: true, run }
}

fn focal(op: Focal) -> RowOp {
    let name = format!("{op:?}");
    let run: Run = Box::new(move |device, data, mask, reduction| {
        let op = op.clone().with_reduction(reduction).with_gradient();
        let input = CrossEntropyInput::new(data.matrix(&data.logits), &data.targets)
            .with_upstream(data.above(reduction));
        let input = mask.map_or(input, |mask| input.with_mask(mask));
        let output = device.run(&op, input)?;
        Ok(Results::of(&output.loss, [Some(output.lse), output.dlogits]))
    });
    RowOp { name, is_loss: true, run }
}

macro_rules! divergence {
    ($op:expr, $teacher:ident) => {{
        let op = $op;
        let run: Run = Box::new(move |device, data, mask, reduction| {
            let op = op.with_reduction(reduction).with_gradient();
            let (teacher, student) = (data.matrix(&data.$teacher), data.matrix(&data.logits));
            let input = DivergenceInput::new(teacher, student).with_upstream(data.above(reduction));
            let input = mask.map_or(input, |mask| input.with_mask(mask));
            let output = device.run(&op, input)?;
            Ok(Results::of(&output.loss, [Some(output.lse), output.dstudent]))
        });
        RowOp { name: format!("{op:?}"), is_loss: true, run }
    }};
}

macro_rules! transform {
    ($op:expr, |$data:ident| $input:expr) => {{
        let op = $op;
        let run: Run = Box::new(move |device, $data, mask, _| {
            let input = $input;
            let input = mask.map_or(input, |mask| input.with_mask(mask));
            let each = vec![device.run(&op, input)?.to_f64()];
            Ok(Results { each, ..Results::default() })
        });
        RowOp { name: format!("{op:?}"), is_loss: false, run }
    }};
}

/// Every operation on rows, with what its kernels differ by.
fn row_ops(classes: usize) -> Vec<RowOp> {
    let indices: fn(&Data) -> (&Array, Targets<'_>) = |data| (&data.logits, (&data.targets).into());
    let labels: fn(&Data) -> (&Array, Targets<'_>) =
        |data| (&data.logits, data.matrix(&data.probs).into());
    let weights: Vec<f64> = (0..classes).map(|j| 0.5 + (j % 3) as f64).collect();
    let new = CrossEntropy::new;
    let with_options = new().with_class_weights(weights.clone()).with_label_smoothing(0.125);
    vec![
        cross_entropy(new(), indices),
        cross_entropy(new().with_ignore_index(None).with_metrics(), indices),
        cross_entropy(with_options.clone().with_z_loss(0.01).with_softcap(9.0), indices),
        cross_entropy(new().with_form(InputForm::LogProbs), |data| {
            (&data.log_probs, (&data.targets).into())
        }),
        cross_entropy(new().with_form(InputForm::Probs), |data| {
            (&data.probs, (&data.targets).into())
        }),
        cross_entropy(new(), labels),
        cross_entropy(new().with_target_gradient(), labels),
        cross_entropy(with_options.with_metrics(), labels),
        cross_entropy(new().with_form(InputForm::LogProbs), |data| {
            (&data.log_probs, data.matrix(&data.probs).into())
        }),
        focal(Focal::new().with_alpha(weights)),
        divergence!(KlDivergence::new().with_temperature(2.0), logits),
        divergence!(KlDivergence::new().with_teacher(InputForm::Probs), probs),
        divergence!(
            KlDivergence::new().with_reverse().with_teacher(InputForm::LogProbs),
            log_probs
        ),
        divergence!(JsDivergence::new().with_unit(Unit::Bits), log_probs),
        divergence!(JsDivergence::new().with_teacher(InputForm::Probs), probs),
        transform!(Softmax, |data| LogitsInput::new(data.matrix(&data.logits))),
        transform!(LogSoftmax, |data| LogitsInput::new(data.matrix(&data.logits))),
        transform!(LogSumExp, |data| LogitsInput::new(data.matrix(&data.logits))),
        transform!(Entropy::new(), |data| LogitsInput::new(data.matrix(&data.logits))),
        transform!(Surprisal::new(), |data| LogitsInput::new(data.matrix(&data.logits))),
        transform!(SoftmaxBackward, |data| SoftmaxBackwardInput::new(
            data.matrix(&data.probs),
            data.matrix(&data.logits)
        )),
        transform!(LogSoftmaxBackward, |data| LogSoftmaxBackwardInput::new(
            data.matrix(&data.log_probs),
            data.matrix(&data.logits)
        )),
        transform!(LogSumExpBackward, |data| LogSumExpBackwardInput::new(
            data.matrix(&data.logits),
            &data.upstream
        )),
        transform!(EntropyBackward::new(), |data| EntropyBackwardInput::new(
            data.matrix(&data.logits),
            &data.upstream
        )),
    ]
}

/// What counts has the bits of `want`; all else is 0.
fn same_where_kept(what: &str, got: &[f64], want: &[f64], mask: &[bool]) -> Outcome {
    if got.len() != want.len() {
        return Err(format!("{what}: {} values, want {}", got.len(), want.len()));
    }
    let width = got.len() / mask.len().max(1);
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let counts = mask[i / width];
        let want = if counts { *want } else { 0.0 };
        if got.to_bits() != want.to_bits() && !(got.is_nan() && want.is_nan()) {
            return Err(format!("{what}[{i}]: got {got:e}, want {want:e}, counts: {counts}"));
        }
    }
    Ok(())
}

/// A gradient of a mean, from that of a sum or of another mean: the divisor is rounded in other places,
/// and what is stored twice.
fn near_where_kept(
    (what, dtype): (&str, Dtype),
    got: &[f64],
    want: &[f64],
    mask: &[bool],
) -> Outcome {
    let width = got.len() / mask.len().max(1);
    let (relative, least) = match dtype {
        Dtype::F16 => (2f64.powi(-10), 2f64.powi(-23)),
        Dtype::Bf16 => (2f64.powi(-7), 1e-30),
        _ => (1e-6, 1e-30),
    };
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        if mask[i / width] {
            compare(what, i, *got, *want, relative * want.abs() + least)?;
        } else if got.to_bits() != 0 {
            return Err(format!("{what}[{i}]: got {got:e}, does not count"));
        }
    }
    Ok(())
}

/// The operations on rows that are chosen, of a batch in which some rows do not count.
pub fn check_rows(
    subject: &Subject,
    (rows, classes): (usize, usize),
    dtype: Dtype,
    which: &[Kept],
    is_chosen: impl Fn(usize) -> bool,
) -> Outcome {
    let data = Data::new(rows, classes, dtype);
    for &kept in which {
        let mask = kept.mask(rows);
        let poisoned = data.poisoned(&mask);
        let chosen = row_ops(classes).into_iter().enumerate().filter(|(i, _)| is_chosen(*i));
        for (_, op) in chosen {
            let name = format!("{} {rows} x {classes} {dtype} {kept:?} {}", subject.name, op.name);
            let name: String = name.chars().take(280).collect();
            let run = |data: &Data, mask: Option<&[bool]>, reduction| {
                (op.run)(&subject.device, data, mask, reduction)
                    .map_err(|error| format!("{name}: {error}"))
            };
            let plain = run(&data, None, Reduction::None)?;
            let got = run(&poisoned, Some(&mask), Reduction::None)?;
            for (i, (got, want)) in got.each.iter().zip(&plain.each).enumerate() {
                same_where_kept(&format!("{name}: result {i}"), got, want, &mask)?;
            }
            let count = mask.iter().filter(|&&counts| counts).count();
            if got.kept_rows.is_some_and(|kept_rows| kept_rows != count as u64) {
                return Err(format!("{name}: {:?} kept rows, want {count}", got.kept_rows));
            }
            if let (Some(got), Some(want)) = (&got.argmax, &plain.argmax) {
                let agree = |row: usize| got[row] == if mask[row] { want[row] } else { -1 };
                if !(0..rows).all(agree) {
                    return Err(format!("{name}: argmax {got:?}, want {want:?}"));
                }
            }
            if op.is_loss {
                reduced(&op, subject, (&name, &mask), &[&data, &poisoned], &plain.each[0])?;
            }
        }
    }
    Ok(())
}

/// The sum and the mean over the rows that count, and their gradients.
fn reduced(
    op: &RowOp,
    subject: &Subject,
    (name, mask): (&str, &[bool]),
    data: &[&Data; 2],
    losses: &[f64],
) -> Outcome {
    let run = |data: &Data, mask: Option<&[bool]>, reduction| {
        (op.run)(&subject.device, data, mask, reduction).map_err(|error| format!("{name}: {error}"))
    };
    let dtype = data[0].logits.dtype();
    let kept = || (0..mask.len()).filter(|&row| mask[row]);
    let sum: f64 = kept().map(|row| losses[row]).sum();
    let magnitude: f64 = kept().map(|row| losses[row].abs()).sum();
    let bound = tolerance::loss_sum(subject.arithmetic, magnitude) + 1e-6 * magnitude;
    let got = run(data[1], Some(mask), Reduction::Sum)?;
    let want = run(data[0], None, Reduction::Sum)?;
    compare(&format!("{name}: sum"), 0, got.loss.unwrap_or(f64::NAN), sum, bound)?;
    for (got, want) in got.each.iter().zip(&want.each) {
        same_where_kept(&format!("{name}: of the sum"), got, want, mask)?;
    }
    let got = run(data[1], Some(mask), Reduction::Mean)?;
    let mean = got.loss.unwrap_or(0.0);
    if kept().count() == 0 {
        if !mean.is_nan() {
            return Err(format!("{name}: the mean of nothing is {mean}"));
        }
        return got.each.iter().try_for_each(|got| {
            same_where_kept(&format!("{name}: of nothing"), got, &vec![0.0; got.len()], mask)
        });
    }
    // The weights of the targets' classes, where these have some.
    let weight = sum / mean;
    if weight.is_finite() && !(0.4..=2.6).contains(&(weight / kept().count() as f64)) {
        return Err(format!("{name}: the mean {mean} of {} rows, sum {sum}", kept().count()));
    }
    if !op.name.contains("class_weights: Some") {
        let count = kept().count() as f64;
        compare(&format!("{name}: mean"), 0, mean, sum / count, bound / count)?;
        for (got, want) in got.each.iter().zip(&want.each).skip(1) {
            let want: Vec<f64> = want.iter().map(|x| x / count).collect();
            near_where_kept((&format!("{name}: of the mean"), dtype), got, &want, mask)?;
        }
    }
    Ok(())
}

/// An elementwise loss, with its weights if it has some.
type ElementRun = Box<
    dyn Fn(
        &Device,
        &Data,
        Option<&[bool]>,
        Reduction,
        Option<f64>,
    ) -> Result<ElementwiseOutput, Error>,
>;

macro_rules! element_op {
    ($op:expr, $x:ident, $y:ident, $weighed:expr) => {{
        let op = $op;
        let name = format!("{op:?}");
        let run: ElementRun = Box::new(move |device, data, mask, reduction, ignored| {
            let op = op.clone().with_reduction(reduction).with_gradient();
            let op = op.with_ignore_index(ignored);
            let upstream = match reduction {
                Reduction::None => Upstream::Each((&data.element_upstream).into()),
                _ => Upstream::Scalar(0.75),
            };
            let mut input = ElementwiseInput::new(data.matrix(&data.$x), data.matrix(&data.$y))
                .with_upstream(upstream);
            input.mask = mask;
            if $weighed {
                input = input.with_weights(data.matrix(&data.weights));
            }
            device.run(&op, input)
        });
        (name, run)
    }};
}

fn element_ops(classes: usize) -> Vec<(String, ElementRun)> {
    let pos_weight: Vec<f64> = (0..classes).map(|j| 0.5 + (j % 4) as f64).collect();
    vec![
        element_op!(BinaryCrossEntropy::new(), logits, labels, true),
        element_op!(BinaryCrossEntropy::new().with_pos_weight(pos_weight), logits, labels, false),
        element_op!(BinaryCrossEntropy::new().with_form(InputForm::Probs), probs, labels, false),
        element_op!(BinaryFocal::new().with_alpha(0.25), logits, labels, true),
        element_op!(Elementwise::new(ElementwiseLoss::Squared), logits, labels, false),
        element_op!(Elementwise::new(ElementwiseLoss::Absolute), logits, weights, true),
        element_op!(
            Elementwise::new(ElementwiseLoss::Huber { delta: 1.0 }),
            logits,
            weights,
            false
        ),
    ]
}

/// Every elementwise loss, of a batch in which some elements do not count: by a mask, by their labels, by
/// both.
pub fn check_elements(
    subject: &Subject,
    (rows, classes): (usize, usize),
    dtype: Dtype,
    which: &[Kept],
) -> Outcome {
    let data = Data::new(rows, classes, dtype);
    for &kept in which {
        let mask = kept.mask(rows * classes);
        let poisoned = data.poisoned(&mask);
        // The same elements, told by their labels; and some by one, some by the other.
        let mut labelled = data.poisoned(&mask);
        let by_label = |array: &Array, source: &Array, only: &dyn Fn(usize) -> bool| {
            let values = array.to_f64().into_iter().zip(source.to_f64()).enumerate();
            let labels = values.map(|(i, (poison, own))| match (mask[i], only(i)) {
                (true, _) => own as f32,
                (false, true) => -100.0,
                (false, false) => poison as f32,
            });
            stored(&labels.collect::<Vec<_>>(), array.dtype())
        };
        labelled.labels = by_label(&poisoned.labels, &data.labels, &|_| true);
        labelled.weights = by_label(&poisoned.weights, &data.weights, &|_| true);
        let mut both = data.poisoned(&mask);
        both.labels = by_label(&poisoned.labels, &data.labels, &|i| i % 2 == 0);
        both.weights = by_label(&poisoned.weights, &data.weights, &|i| i % 2 == 0);
        let half: Vec<bool> = (0..mask.len()).map(|i| mask[i] || i % 2 == 0).collect();
        for (name, run) in element_ops(classes) {
            let name = format!("{} {rows} x {classes} {dtype} {kept:?} {name}", subject.name);
            let name: String = name.chars().take(240).collect();
            let run = |data: &Data, mask: Option<&[bool]>, reduction, ignored| {
                run(&subject.device, data, mask, reduction, ignored)
                    .map_err(|error| format!("{name}: {error}"))
            };
            for reduction in [Reduction::None, Reduction::Sum, Reduction::Mean] {
                let plain = run(&data, None, reduction, None)?;
                let losses = run(&data, None, Reduction::None, None)?.loss;
                let losses = losses.each().map(Array::to_f64).unwrap_or_default();
                let mut ways = vec![("mask", run(&poisoned, Some(&mask), reduction, None)?)];
                ways.push(("labels", run(&labelled, None, reduction, Some(-100.0))?));
                ways.push(("both", run(&both, Some(&half), reduction, Some(-100.0))?));
                for (way, got) in ways {
                    let name = format!("{name} by {way} {reduction:?}");
                    of_elements(subject, (&name, reduction, &mask), &got, &plain, &losses)?;
                }
            }
        }
    }
    Ok(())
}

fn of_elements(
    subject: &Subject,
    (name, reduction, mask): (&str, Reduction, &[bool]),
    got: &ElementwiseOutput,
    plain: &ElementwiseOutput,
    losses: &[f64],
) -> Outcome {
    let values = |array: Option<&Array>| array.map(Array::to_f64).unwrap_or_default();
    let (got_gradient, gradient) = (values(got.dinput.as_ref()), values(plain.dinput.as_ref()));
    let count = mask.iter().filter(|&&counts| counts).count() as f64;
    match reduction {
        Reduction::Mean if count > 0.0 => {
            let all = mask.len() as f64;
            let want: Vec<f64> = gradient.iter().map(|x| x * all / count).collect();
            let dtype = got.dinput.as_ref().map_or(Dtype::F32, Array::dtype);
            near_where_kept((&format!("{name}: gradient"), dtype), &got_gradient, &want, mask)?;
        }
        _ => same_where_kept(&format!("{name}: gradient"), &got_gradient, &gradient, mask)?,
    }
    let Some(loss) = got.loss.reduced() else {
        return same_where_kept(name, &values(got.loss.each()), losses, mask);
    };
    let kept = || (0..mask.len()).filter(|&i| mask[i]).map(|i| losses[i]);
    let magnitude: f64 = kept().map(f64::abs).sum();
    let bound = tolerance::loss_sum(subject.arithmetic, magnitude) + 1e-5 * magnitude;
    let scale = if reduction == Reduction::Mean { count } else { 1.0 };
    compare(name, 0, loss, kept().sum::<f64>() / scale, bound / scale.max(1.0))
}

/// Labels of hinge losses, whose signs are checked: none that does not count.
pub fn signs_that_do_not_count(device: &Device) -> Outcome {
    let (x, y) = ([0.5f32, 2.0, 1.0], [1.0f32, 0.0, -1.0]);
    let matrix = |values| Matrix::new(values, 1, 3).expect("its shape");
    let input = ElementwiseInput::new(matrix(&x), matrix(&y));
    let hinge = Elementwise::new(ElementwiseLoss::Hinge);
    let binary = BinaryCrossEntropy::new().with_labels(BinaryLabels::PlusMinus);
    let masked = input.with_mask(&[true, false, true]);
    let error = |error: Error| error.to_string();
    if device.run(&hinge, input).is_ok() || device.run(&binary, input).is_ok() {
        return Err("0 is no sign".to_owned());
    }
    let loss = device.run(&hinge, masked).map_err(error)?.loss.reduced();
    device.run(&binary.with_ignore_index(0.0), input).map_err(error)?;
    compare("hinge", 0, loss.unwrap_or(f64::NAN), 1.25, 1e-6)
}
