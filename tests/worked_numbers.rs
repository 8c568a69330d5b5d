//! The worked numbers of `docs/LOSSES.md`, on every device.

mod common;

use common::Subject;
use surprisal::{
    CrossEntropy, CrossEntropyInput, Device, DivergenceInput, Entropy, InputForm, KlDivergence,
    Matrix, Reduction, Targets, Unit,
};

/// Each device, with how far its results may be from the exact ones: a few roundings of f32 or f64.
fn devices() -> [(Subject, f64); 3] {
    [
        (Subject::reference(), 1e-14),
        (Subject::cpu(), 1e-6),
        (Subject::gpu("as it chooses", common::gpu()), 1e-6),
    ]
}

/// Close to the exact number, and to the rounded one that people know.
#[track_caller]
fn assert_number(
    got: f64,
    exact: f64,
    known: f64,
    decimals: i32,
    (subject, error): &(Subject, f64),
) {
    let name = &subject.name;
    assert!((got - exact).abs() <= *error, "{name}: {got}, not {exact}");
    assert!((got - known).abs() <= 0.5 * 10f64.powi(-decimals), "{name}: {got}, not {known}");
}

fn row(values: &[f64]) -> Matrix<'_> {
    Matrix::new(values, 1, values.len()).expect("a row")
}

fn logs(probs: &[f64]) -> Vec<f64> {
    probs.iter().map(|p| p.ln()).collect()
}

fn entropy(device: &Device, probs: &[f64]) -> f64 {
    let logits = logs(probs);
    let entropy = device.run(&Entropy::new().with_unit(Unit::Bits), row(&logits));
    entropy.expect("sound").to_f64()[0]
}

/// Of predicted probabilities, in some unit.
fn cross_entropy(device: &Device, predicted: Matrix<'_>, targets: Targets<'_>, unit: Unit) -> f64 {
    let op = CrossEntropy::new().with_form(InputForm::Probs).with_unit(unit);
    let output = device.run(&op, CrossEntropyInput::new(predicted, targets)).expect("sound");
    output.loss.reduced().expect("a mean")
}

#[test]
fn weather_forecast() {
    let (p, q) = ([0.5, 0.3, 0.2], [0.4, 0.4, 0.2]);
    let exact_entropy = -p.iter().map(|p: &f64| p * p.log2()).sum::<f64>();
    let exact_cross = -p.iter().zip(&q).map(|(p, q): (_, &f64)| p * q.log2()).sum::<f64>();
    for device in &devices() {
        let gpu_or_cpu = &device.0.device;
        let entropy = entropy(gpu_or_cpu, &p);
        assert_number(entropy, exact_entropy, 1.4855, 4, device);
        let cross = cross_entropy(gpu_or_cpu, row(&q), row(&p).into(), Unit::Bits);
        assert_number(cross, exact_cross, 1.5219, 4, device);

        let op = KlDivergence::new().with_teacher(InputForm::Probs).with_unit(Unit::Bits);
        let student = logs(&q);
        let output = gpu_or_cpu.run(&op, DivergenceInput::new(row(&p), row(&student)));
        let divergence = output.expect("sound").loss.reduced().expect("a mean");
        assert_number(divergence, exact_cross - exact_entropy, 0.0365, 4, device);
    }
}

#[test]
fn two_predictions_in_hartleys() {
    let (q1, q2) = ([0.5, 0.2, 0.3], [0.8, 0.1, 0.1]);
    let both = [q1, q2].concat();
    let one_hot = [1.0, 0.0, 0.0, 1.0, 0.0, 0.0];
    let batch = Matrix::new(&both, 2, 3).expect("its shape");
    let labels = Matrix::new(&one_hot, 2, 3).expect("its shape");
    let (exact1, exact2) = (-f64::log10(0.5), -f64::log10(0.8));
    let exact_mean = f64::midpoint(exact1, exact2);
    for device in &devices() {
        let hartleys = |predicted, targets| {
            cross_entropy(&device.0.device, predicted, targets, Unit::Hartleys)
        };
        assert_number(hartleys(row(&q1), Targets::I64(&[0])), exact1, 0.30, 2, device);
        assert_number(hartleys(row(&q2), Targets::I64(&[0])), exact2, 0.10, 2, device);
        assert_number(hartleys(batch, Targets::I64(&[0, 0])), exact_mean, 0.20, 2, device);
        assert_number(hartleys(batch, labels.into()), exact_mean, 0.20, 2, device);
    }
}

#[test]
fn hello() {
    let letters = "HELLO";
    let frequency =
        |code: u8| letters.bytes().filter(|letter| *letter == code).count() as f64 / 5.0;
    let frequencies: Vec<f64> = (0..=u8::MAX).map(frequency).collect();
    let own = [0.2, 0.2, 0.4, 0.2];
    let exact = -own.iter().map(|p: &f64| p * p.log2()).sum::<f64>();
    let uniform = [1.0 / 256.0; 256];
    for device in &devices() {
        let place = &device.0.device;
        assert_number(entropy(place, &own), exact, 1.92, 2, device);
        let coded =
            |codes: &[f64]| cross_entropy(place, row(codes), row(&frequencies).into(), Unit::Bits);
        assert_number(coded(&frequencies), exact, 1.92, 2, device);
        assert_number(coded(&uniform), 8.0, 8.0, 2, device);

        // Letter by letter: the surprisal of each, and their sum.
        let message: Vec<i64> = letters.bytes().map(i64::from).collect();
        let codes = frequencies.repeat(5);
        let op = CrossEntropy::new()
            .with_form(InputForm::Probs)
            .with_unit(Unit::Bits)
            .with_reduction(Reduction::Sum);
        let codes = Matrix::new(&codes, 5, 256).expect("its shape");
        let output = place.run(&op, CrossEntropyInput::new(codes, &message)).expect("sound");
        let bits = output.loss.reduced().expect("a sum");
        let (subject, error) = device;
        assert!((bits - 5.0 * exact).abs() <= 5.0 * error, "{}: {bits}", subject.name);
    }
}
