//! Whatever bytes say: shapes, dtypes, bit patterns, targets and options. Nothing may panic, and what
//! the reference takes the CPU path takes too. The fuzzer in `fuzz/` drives the same function.

use std::ops::Range;

use half::{bf16, f16};
use surprisal::cpu::InstructionSet;
use surprisal::stream::Batch;
use surprisal::{
    Array, BinaryCrossEntropy, BinaryFocal, BinaryLabels, CrossEntropy, CrossEntropyInput, Device,
    DivergenceInput, Elementwise, ElementwiseInput, ElementwiseLoss, Entropy, Focal, InputForm,
    JsDivergence, KlDivergence, Labels, LinearCrossEntropy, LinearCrossEntropyInput, LogSoftmax,
    LogSoftmaxBackward, LogSoftmaxBackwardInput, LogSumExp, LogSumExpBackward,
    LogSumExpBackwardInput, Matrix, MatrixMut, Op, Reduction, Softmax, SoftmaxBackward,
    SoftmaxBackwardInput, Surprisal, Targets, Unit, Upstream, Values,
};

/// Bytes, and zeros after their end.
struct Bytes<'a>(std::slice::Iter<'a, u8>);

impl Bytes<'_> {
    fn byte(&mut self) -> u8 {
        self.0.next().copied().unwrap_or(0)
    }

    fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    fn below(&mut self, n: u8) -> usize {
        usize::from(self.byte() % n)
    }

    fn bits(&mut self) -> u32 {
        u32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }

    /// One of the numbers that matter, or any.
    fn number(&mut self) -> f64 {
        match self.byte() % 12 {
            0..=3 => 0.0,
            4 => 1.0,
            5 => 0.1,
            6 => -1.0,
            7 => f64::NAN,
            8 => f64::INFINITY,
            9 => 1e300,
            10 => 30.0,
            _ => f64::from(f32::from_bits(self.bits())),
        }
    }

    fn element(&mut self) -> f32 {
        match self.byte() % 8 {
            0 => f32::NEG_INFINITY,
            1 => f32::from_bits(self.bits()),
            2 => f32::INFINITY,
            3 => 0.0,
            _ => f32::from(self.byte()) / 16.0 - 8.0,
        }
    }

    /// Mostly as many as there should be.
    fn array(&mut self, len: usize) -> Array {
        let len = if self.byte() == 1 { len + 1 } else { len };
        let dtype = self.byte() % 4;
        let x: Vec<f32> = (0..len).map(|_| self.element()).collect();
        match dtype {
            0 => Array::F32(x),
            1 => Array::F16(x.into_iter().map(f16::from_f32).collect()),
            2 => Array::Bf16(x.into_iter().map(bf16::from_f32).collect()),
            _ => Array::F64(x.into_iter().map(f64::from).collect()),
        }
    }

    /// Numbers of which most are probabilities, in the dtype of others.
    fn probabilities(&mut self, like: &Array) -> Array {
        let share =
            |byte: u8| if byte > 250 { f32::from(byte) - 252.0 } else { f32::from(byte) / 250.0 };
        let x: Vec<f32> = (0..like.len()).map(|_| share(self.byte())).collect();
        match like.values() {
            Values::F16(_) => Array::F16(x.into_iter().map(f16::from_f32).collect()),
            Values::F64(_) => Array::F64(x.into_iter().map(f64::from).collect()),
            _ => Array::F32(x),
        }
    }

    fn target(&mut self, classes: usize) -> i64 {
        match self.byte() {
            0 => -100,
            1 => -1,
            2 => i64::MAX,
            3 => i64::MIN,
            4 => i64::try_from(classes).unwrap_or(0),
            byte => i64::from(byte) % i64::try_from(classes.max(1)).unwrap_or(1),
        }
    }

    fn reduction(&mut self) -> Reduction {
        [Reduction::Mean, Reduction::Sum, Reduction::None][self.below(3)]
    }

    fn form(&mut self) -> InputForm {
        let forms = [InputForm::Logits, InputForm::LogProbs, InputForm::Probs];
        forms[self.below(8).saturating_sub(5)]
    }

    fn cross_entropy(&mut self, classes: usize) -> CrossEntropy {
        let mut op = CrossEntropy::new()
            .with_reduction(self.reduction())
            .with_form(self.form())
            .with_label_smoothing(self.number())
            .with_z_loss(self.number());
        if self.flag() {
            op = op.with_gradient();
        }
        if self.byte() > 200 {
            op = op.with_target_gradient().with_unit(Unit::Bits);
        }
        if self.byte() > 200 {
            op = op.with_metrics().with_ignore_index(self.target(classes));
        }
        if self.byte() > 200 {
            op = op.with_softcap(self.number()).with_logit_scale(self.number());
        }
        if self.byte() > 200 {
            let len = classes + self.below(8) / 7;
            op = op.with_class_weights((0..len).map(|_| self.number()).collect::<Vec<_>>());
        }
        if self.byte() > 200 {
            op = op.with_normalizer(self.number()).with_clamp(self.number());
        }
        op
    }

    fn elementwise(&mut self) -> Elementwise {
        let loss = match self.below(4) {
            0 => ElementwiseLoss::Squared,
            1 => ElementwiseLoss::Absolute,
            2 => ElementwiseLoss::Huber { delta: self.number() },
            _ => ElementwiseLoss::Hinge,
        };
        Elementwise::new(loss).with_reduction(self.reduction()).with_gradient()
    }

    fn binary_focal(&mut self) -> BinaryFocal {
        let labels = [BinaryLabels::ZeroOne, BinaryLabels::PlusMinus][self.below(2)];
        let op = BinaryFocal::new().with_gamma(self.number()).with_labels(labels);
        let op = if self.flag() { op.with_alpha(self.number()) } else { op };
        op.with_reduction(self.reduction()).with_gradient()
    }
}

fn devices() -> Vec<Device> {
    let sets = InstructionSet::ALL.into_iter().filter(|set| set.is_available());
    sets.filter_map(|set| Device::cpu_with(set).ok()).collect()
}

/// An operation on all devices: the reference says whether it is to succeed, which is returned as 1.
fn all<'a, O: Op>(
    op: &'a O,
    input: O::Input<'a>,
    reference: &'a Device,
    cpus: &'a [Device],
) -> usize
where
    O::Input<'a>: Copy,
{
    let want = reference.run(op, input).map(|_| ()).map_err(|error| error.to_string());
    for device in cpus {
        let got = device.run(op, input).map(|_| ()).map_err(|error| error.to_string());
        assert_eq!(got, want, "{}", device.info());
    }
    usize::from(want.is_ok())
}

/// Does what `bytes` say, and tells how many operations succeeded.
pub fn run(bytes: &[u8]) -> usize {
    let mut bytes = Bytes(bytes.iter());
    let (rows, classes) = (bytes.below(6), bytes.below(70));
    run_shaped(bytes, rows, classes)
}

/// [`run`] with one row of so many classes.
pub fn run_row(bytes: &[u8], classes: usize) -> usize {
    run_shaped(Bytes(bytes.iter()), 1, classes)
}

fn run_shaped(mut bytes: Bytes<'_>, rows: usize, classes: usize) -> usize {
    let (x, y) = (bytes.array(rows * classes), bytes.array(rows * classes));
    let matrix = |array| Matrix::new(array, rows, classes);
    let (Ok(first), Ok(second)) = (matrix(x.values()), matrix(y.values())) else { return 0 };
    let (reference, cpus) = (Device::reference(), devices());
    let targets: Vec<i64> = (0..rows).map(|_| bytes.target(classes)).collect();
    let numbers: Vec<f32> = (0..rows).map(|_| bytes.element()).collect();
    let upstream = match bytes.below(3) {
        0 => Upstream::Scalar(1.0),
        1 => Upstream::Scalar(bytes.number()),
        _ => Upstream::Each((&numbers).into()),
    };
    let op = bytes.cross_entropy(classes);
    let input = CrossEntropyInput::new(first, &targets).with_upstream(upstream);
    let mut done = 0;
    done += all(&op, input, &reference, &cpus);
    done +=
        all(&op, CrossEntropyInput::new(first, second).with_upstream(upstream), &reference, &cpus);
    let focal =
        Focal::new().with_gamma(bytes.number()).with_reduction(bytes.reduction()).with_gradient();
    done += all(&focal, input, &reference, &cpus);
    let pair = DivergenceInput::new(first, second).with_upstream(upstream);
    let kl = KlDivergence::new().with_temperature(bytes.number()).with_teacher(bytes.form());
    done += all(&kl.with_reduction(bytes.reduction()).with_gradient(), pair, &reference, &cpus);
    done += all(&JsDivergence::new().with_gradient(), pair, &reference, &cpus);
    let binary = BinaryCrossEntropy::new().with_form(bytes.form()).with_gradient();
    done += all(
        &binary,
        ElementwiseInput::new(first, second).with_upstream(upstream),
        &reference,
        &cpus,
    );
    done += all(&Softmax, first.into(), &reference, &cpus);
    done += all(&LogSoftmax, first.into(), &reference, &cpus);
    done += all(&LogSumExp, first.into(), &reference, &cpus);
    let mut over = y.clone();
    if let Array::F32(over) = &mut over
        && let Ok(over) = MatrixMut::new(&mut over[..], rows, classes)
    {
        let labels = Labels::new(&targets).with_upstream(upstream);
        let _ = cpus[0].run_in_place(&op, over, labels);
    }
    in_windows(&op, &input, 1 + bytes.below(6), &cpus[0]);
    let elements = ElementwiseInput::new(first, second).with_weights(bytes.flag().then_some(first));
    done += all(&bytes.elementwise(), elements, &reference, &cpus);
    done += all(&bytes.binary_focal(), elements.with_upstream(upstream), &reference, &cpus);
    done += backwards((first, second, &numbers), &reference, &cpus);
    let targets: Vec<i64> = (0..rows).map(|_| bytes.target(rows)).collect();
    let input = LinearCrossEntropyInput::new(first, second, &targets).with_upstream(upstream);
    let bias = bytes.flag().then(|| bytes.array(rows));
    let input = input.with_bias(bias.as_ref().map(Array::values));
    let op = LinearCrossEntropy::new(bytes.cross_entropy(rows)).with_gradient();
    done += all(&op, input, &reference, &cpus);
    let (probs, op) = (bytes.probabilities(&y), bytes.cross_entropy(classes));
    let Ok(probs) = matrix(probs.values()) else { return done };
    done += all(&op, CrossEntropyInput::new(first, probs), &reference, &cpus);
    let js = JsDivergence::new().with_teacher(InputForm::Probs).with_gradient();
    done += all(&js, DivergenceInput::new(probs, second), &reference, &cpus);
    let of_layer = bytes.array(rows * rows);
    let of_layer = bytes.probabilities(&of_layer);
    let Ok(probs) = Matrix::new(of_layer.values(), rows, rows) else { return done };
    let op = LinearCrossEntropy::new(bytes.cross_entropy(rows)).with_gradient();
    done + all(&op, LinearCrossEntropyInput::new(first, second, probs), &reference, &cpus)
}

/// The transforms that are left, and what the others' gradients become.
fn backwards(
    (first, second, rows): (Matrix<'_>, Matrix<'_>, &[f32]),
    reference: &Device,
    cpus: &[Device],
) -> usize {
    let softmax = SoftmaxBackwardInput::new(first, second);
    let log_softmax = LogSoftmaxBackwardInput::new(first, second);
    let lse = LogSumExpBackwardInput::new(first, rows);
    all(&SoftmaxBackward, softmax, reference, cpus)
        + all(&LogSoftmaxBackward, log_softmax, reference, cpus)
        + all(&LogSumExpBackward, lse, reference, cpus)
        + all(&Entropy::new(), first.into(), reference, cpus)
        + all(&Surprisal::new(), first.into(), reference, cpus)
}

/// Windows of a batch are taken where the whole is, and make its loss; where there are none, nobody sees
/// the upstream gradient.
fn in_windows(op: &CrossEntropy, input: &CrossEntropyInput<'_>, window: usize, device: &Device) {
    if input.logits.rows() == 0 {
        return;
    }
    let loss = |loss: Option<f64>| loss.map(f64::to_bits);
    let whole = device.run(op, *input).map(|output| loss(output.loss.reduced()));
    let windows = streamed(op, input, window, device).map(loss);
    assert_eq!(windows.is_ok(), whole.is_ok(), "{op:?}: {windows:?} {whole:?}");
    assert!(windows.ok() == whole.ok(), "{op:?} in windows of {window}");
}

fn streamed(
    op: &CrossEntropy,
    input: &CrossEntropyInput<'_>,
    window: usize,
    device: &Device,
) -> surprisal::Result<Option<f64>> {
    let Targets::I64(targets) = input.targets else { unreachable!("they are indices") };
    let (rows, classes) = (input.logits.rows(), input.logits.columns());
    let batch = Batch::new(rows, classes, window).with_targets(targets);
    let mut stream = device.stream(op, batch)?;
    for first in (0..rows).step_by(window) {
        let rows = first..rows.min(first + window);
        let upstream = match input.upstream {
            Upstream::Each(Values::F32(each)) => Upstream::Each((&each[rows.clone()]).into()),
            whole => whole,
        };
        let columns = rows.start * classes..rows.end * classes;
        let logits = Matrix::new(part(input.logits.values(), columns), rows.len(), classes)?;
        stream.push(CrossEntropyInput::new(logits, &targets[rows]).with_upstream(upstream))?;
    }
    Ok(stream.finish()?.loss)
}

fn part(values: Values<'_>, range: Range<usize>) -> Values<'_> {
    match values {
        Values::F16(values) => values[range].into(),
        Values::Bf16(values) => values[range].into(),
        Values::F32(values) => values[range].into(),
        Values::F64(values) => values[range].into(),
        whole => whole,
    }
}
