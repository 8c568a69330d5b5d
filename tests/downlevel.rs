//! A device of the least limits there are, those of GL: four storage buffers in a kernel. What fits
//! runs; what does not is refused, by one error and no other.

mod common;

use common::bench::Bench;
use common::one_family_each;
use surprisal::{
    Array, BinaryCrossEntropy, CrossEntropy, CrossEntropyInput, CrossEntropyOutput, Device,
    DivergenceInput, DivergenceOutput, ElementwiseInput, ElementwiseOutput, Entropy, Error, Focal,
    InputForm, JsDivergence, KlDivergence, LogSoftmax, LogSumExp, LogitsInput, Loss, Matrix,
    Reduction, Softmax, SoftmaxBackward, SoftmaxBackwardInput, Upstream, Values,
};

const ROWS: usize = 5;
const CLASSES: usize = 77;
const TARGETS: [i64; ROWS] = [3, 0, -100, 76, 5];
const MASK: [bool; ROWS] = [true, false, true, true, false];
const BY_ROW: Upstream<'static> = Upstream::Each(Values::F32(&[1.0, -2.0, 0.5, 3.0, 0.0]));

/// What an operation came to.
type Numbers = Result<Vec<f64>, Error>;

fn numbers<'a>(loss: &Loss, gradients: impl IntoIterator<Item = &'a Array>) -> Vec<f64> {
    let losses = loss.each().map_or_else(|| Vec::from_iter(loss.reduced()), Array::to_f64);
    losses.into_iter().chain(gradients.into_iter().flat_map(Array::to_f64)).collect()
}

fn of_targets(output: &CrossEntropyOutput) -> Vec<f64> {
    numbers(&output.loss, output.dlogits.iter().chain(&output.dtargets))
}

fn of_elements(output: &ElementwiseOutput) -> Vec<f64> {
    numbers(&output.loss, &output.dinput)
}

fn of_pairs(output: &DivergenceOutput) -> Vec<f64> {
    numbers(&output.loss, &output.dstudent)
}

/// Two matrices: logits, and probabilities or labels.
struct Input {
    logits: Vec<f64>,
    probs: Vec<f64>,
}

impl Input {
    fn new() -> Self {
        let wave = |i: usize| 4.0 * (0.7 * i as f64).sin();
        let logits: Vec<f64> = (0..ROWS * CLASSES).map(wave).collect();
        let matrix = Matrix::new(&logits, ROWS, CLASSES).expect("its shape");
        let probs = Device::reference().run(&Softmax, matrix).expect("sound").to_f64();
        Self { logits, probs }
    }

    fn logits(&self) -> Matrix<'_> {
        Matrix::new(&self.logits, ROWS, CLASSES).expect("its shape")
    }

    fn probs(&self) -> Matrix<'_> {
        Matrix::new(&self.probs, ROWS, CLASSES).expect("its shape")
    }

    fn by_row(&self, device: &Device, op: &CrossEntropy) -> Numbers {
        let op = op.clone().with_gradient().with_reduction(Reduction::None);
        let input = CrossEntropyInput::new(self.logits(), &TARGETS).with_upstream(BY_ROW);
        device.run(&op, input).map(|out| of_targets(&out))
    }

    fn cross_entropy(&self, device: &Device, op: &CrossEntropy) -> Numbers {
        let op = op.clone().with_gradient();
        device.run(&op, CrossEntropyInput::new(self.logits(), &TARGETS)).map(|out| of_targets(&out))
    }
}

/// An operation, and whether four buffers are enough.
type Row = (&'static str, bool, fn(&Input, &Device) -> Numbers);

const FITS: bool = true;
const REFUSED: bool = false;

const OPERATIONS: &[Row] = &[
    ("softmax", FITS, |input, device| device.run(&Softmax, input.logits()).map(|y| y.to_f64())),
    ("log-softmax", FITS, |input, device| {
        device.run(&LogSoftmax, input.logits()).map(|y| y.to_f64())
    }),
    ("logsumexp", FITS, |input, device| device.run(&LogSumExp, input.logits()).map(|y| y.to_f64())),
    ("entropy", FITS, |input, device| {
        device.run(&Entropy::new(), input.logits()).map(|y| y.to_f64())
    }),
    ("softmax backward", FITS, |input, device| {
        let input = SoftmaxBackwardInput::new(input.probs(), input.logits());
        device.run(&SoftmaxBackward, input).map(|y| y.to_f64())
    }),
    ("cross-entropy", FITS, |input, device| input.cross_entropy(device, &CrossEntropy::new())),
    ("cross-entropy, upstream by row", FITS, |input, device| {
        input.by_row(device, &CrossEntropy::new())
    }),
    ("class weights", FITS, |input, device| {
        let op = CrossEntropy::new().with_class_weights(vec![0.5f32; CLASSES]);
        input.cross_entropy(device, &op)
    }),
    ("class weights, upstream by row", REFUSED, |input, device| {
        let op = CrossEntropy::new().with_class_weights(vec![0.5f32; CLASSES]);
        input.by_row(device, &op)
    }),
    ("class weights and label smoothing", FITS, |input, device| {
        let op = CrossEntropy::new().with_class_weights(vec![0.5f32; CLASSES]);
        input.cross_entropy(device, &op.with_label_smoothing(0.1))
    }),
    ("class weights, softcap, z-loss, smoothing, upstream by row", REFUSED, |input, device| {
        let op = CrossEntropy::new().with_class_weights(vec![0.5f32; CLASSES]);
        let op = op.with_softcap(9.0).with_z_loss(0.1).with_label_smoothing(0.1);
        input.by_row(device, &op)
    }),
    ("label smoothing, upstream by row", REFUSED, |input, device| {
        input.by_row(device, &CrossEntropy::new().with_label_smoothing(0.1))
    }),
    ("metrics, upstream by row", FITS, |input, device| {
        input.by_row(device, &CrossEntropy::new().with_metrics())
    }),
    ("masked cross-entropy", FITS, |input, device| {
        let op = CrossEntropy::new().with_gradient();
        let input = CrossEntropyInput::new(input.logits(), &TARGETS).with_mask(&MASK);
        device.run(&op, input).map(|out| of_targets(&out))
    }),
    ("masked softmax", FITS, |input, device| {
        let input = LogitsInput::new(input.logits()).with_mask(&MASK);
        device.run(&Softmax, input).map(|y| y.to_f64())
    }),
    ("masked probability targets", FITS, |input, device| {
        let op = CrossEntropy::new().with_gradient();
        let input = CrossEntropyInput::new(input.logits(), input.probs()).with_mask(&MASK);
        device.run(&op, input).map(|out| of_targets(&out))
    }),
    ("masked probability targets with class weights", REFUSED, |input, device| {
        let op = CrossEntropy::new().with_class_weights(vec![0.5f32; CLASSES]).with_gradient();
        let input = CrossEntropyInput::new(input.logits(), input.probs()).with_mask(&MASK);
        device.run(&op, input).map(|out| of_targets(&out))
    }),
    ("class weights of probability targets", FITS, |input, device| {
        let op = CrossEntropy::new().with_class_weights(vec![0.5f32; CLASSES]).with_gradient();
        let input = CrossEntropyInput::new(input.logits(), input.probs());
        device.run(&op, input).map(|out| of_targets(&out))
    }),
    ("class weights of probability targets and their gradient", FITS, |input, device| {
        let op = CrossEntropy::new().with_class_weights(vec![0.5f32; CLASSES]);
        let op = op.with_gradient().with_target_gradient();
        let input = CrossEntropyInput::new(input.logits(), input.probs());
        device.run(&op, input).map(|out| of_targets(&out))
    }),
    ("label smoothing", FITS, |input, device| {
        input.cross_entropy(device, &CrossEntropy::new().with_label_smoothing(0.1))
    }),
    ("z-loss", FITS, |input, device| {
        input.cross_entropy(device, &CrossEntropy::new().with_z_loss(0.01))
    }),
    ("softcap", FITS, |input, device| {
        input.cross_entropy(device, &CrossEntropy::new().with_softcap(3.0))
    }),
    ("metrics", FITS, |input, device| {
        input.cross_entropy(device, &CrossEntropy::new().with_metrics())
    }),
    ("log-probabilities as input", FITS, |input, device| {
        input.cross_entropy(device, &CrossEntropy::new().with_form(InputForm::LogProbs))
    }),
    ("z-loss and softcap, upstream by row", FITS, |input, device| {
        input.by_row(device, &CrossEntropy::new().with_z_loss(0.1).with_softcap(3.0))
    }),
    ("probability targets, upstream by row", FITS, |input, device| {
        let op = CrossEntropy::new().with_gradient().with_reduction(Reduction::None);
        let input = CrossEntropyInput::new(input.logits(), input.probs());
        device.run(&op, input.with_upstream(BY_ROW)).map(|out| of_targets(&out))
    }),
    ("probability targets, weights, upstream by row", REFUSED, |input, device| {
        let op = CrossEntropy::new().with_class_weights(vec![0.5f32; CLASSES]);
        let op = op.with_gradient().with_target_gradient().with_reduction(Reduction::None);
        let input = CrossEntropyInput::new(input.logits(), input.probs());
        device.run(&op, input.with_upstream(BY_ROW)).map(|out| of_targets(&out))
    }),
    ("focal loss, upstream by row", FITS, |input, device| {
        let op = Focal::new().with_gradient().with_reduction(Reduction::None);
        let input = CrossEntropyInput::new(input.logits(), &TARGETS);
        device.run(&op, input.with_upstream(BY_ROW)).map(|out| of_targets(&out))
    }),
    ("focal loss with alpha, upstream by row", REFUSED, |input, device| {
        let op = Focal::new().with_alpha(vec![0.5f32; CLASSES]);
        let op = op.with_gradient().with_reduction(Reduction::None);
        let input = CrossEntropyInput::new(input.logits(), &TARGETS);
        device.run(&op, input.with_upstream(BY_ROW)).map(|out| of_targets(&out))
    }),
    ("Kullback-Leibler divergence, upstream by row", FITS, |input, device| {
        let op = KlDivergence::new().with_teacher(InputForm::Probs).with_gradient();
        let op = op.with_reduction(Reduction::None);
        let input = DivergenceInput::new(input.probs(), input.logits()).with_upstream(BY_ROW);
        device.run(&op, input).map(|out| of_pairs(&out))
    }),
    ("Jensen-Shannon divergence, upstream by row", REFUSED, |input, device| {
        let op = JsDivergence::new().with_teacher(InputForm::Probs).with_gradient();
        let op = op.with_reduction(Reduction::None);
        let input = DivergenceInput::new(input.probs(), input.logits()).with_upstream(BY_ROW);
        device.run(&op, input).map(|out| of_pairs(&out))
    }),
    ("binary cross-entropy with weights, upstream by element", REFUSED, |input, device| {
        let op = BinaryCrossEntropy::new().with_gradient().with_reduction(Reduction::None);
        let pair = ElementwiseInput::new(input.logits(), input.probs());
        let pair =
            pair.with_weights(input.probs()).with_upstream(Upstream::Each(input.probs().values()));
        device.run(&op, pair).map(|out| of_elements(&out))
    }),
    ("probability targets", FITS, |input, device| {
        let op = CrossEntropy::new().with_gradient();
        let input = CrossEntropyInput::new(input.logits(), input.probs());
        device.run(&op, input).map(|out| of_targets(&out))
    }),
    ("probability targets and their gradient", FITS, |input, device| {
        let op = CrossEntropy::new().with_gradient().with_target_gradient();
        let input = CrossEntropyInput::new(input.logits(), input.probs());
        device.run(&op, input).map(|out| of_targets(&out))
    }),
    ("focal loss", FITS, |input, device| {
        let op = Focal::new().with_gradient();
        device
            .run(&op, CrossEntropyInput::new(input.logits(), &TARGETS))
            .map(|out| of_targets(&out))
    }),
    ("binary cross-entropy", FITS, |input, device| {
        let op = BinaryCrossEntropy::new().with_gradient();
        device
            .run(&op, ElementwiseInput::new(input.logits(), input.probs()))
            .map(|out| of_elements(&out))
    }),
    ("binary cross-entropy with weights", FITS, |input, device| {
        let op = BinaryCrossEntropy::new().with_gradient();
        let input =
            ElementwiseInput::new(input.logits(), input.probs()).with_weights(input.probs());
        device.run(&op, input).map(|out| of_elements(&out))
    }),
    ("Kullback-Leibler divergence", FITS, |input, device| {
        let op = KlDivergence::new().with_teacher(InputForm::Probs).with_gradient();
        device
            .run(&op, DivergenceInput::new(input.probs(), input.logits()))
            .map(|out| of_pairs(&out))
    }),
    ("Jensen-Shannon divergence", FITS, |input, device| {
        let op = JsDivergence::new().with_teacher(InputForm::Probs).with_gradient();
        device
            .run(&op, DivergenceInput::new(input.probs(), input.logits()))
            .map(|out| of_pairs(&out))
    }),
];

#[test]
fn what_fits_runs_and_what_does_not_is_refused() {
    let gpu = Bench::new().gpu;
    assert_eq!(gpu.caps().max_storage_bindings, 4);
    let input = Input::new();
    let mut wrong = Vec::new();
    for (name, fits, run) in OPERATIONS {
        let want = run(&input, &Device::reference()).expect("sound");
        for (family, tuning) in one_family_each(gpu.tuning()) {
            let got = run(&input, &Device::with_gpu(gpu.with_tuning(tuning)));
            match got {
                Ok(got) if *fits => {
                    let close =
                        |(got, want): (&f64, &f64)| (got - want).abs() < 1e-5 * (1.0 + want.abs());
                    assert_eq!(got.len(), want.len(), "{name}, {family}");
                    let off = got.iter().zip(&want).find(|&pair| !close(pair));
                    wrong.extend(off.map(|pair| format!("{name}, {family}: {pair:?}")));
                }
                Err(Error::DeviceTooSmall { .. }) if !fits => {}
                other => wrong.push(format!("{name}, {family}: {:?}", other.map(|_| "runs"))),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
