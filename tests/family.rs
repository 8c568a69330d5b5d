//! What holds between the losses of the family, their gradients by finite differences, their special
//! values and their errors. On the reference, and where it matters on every device.

mod common;

use common::cases::Rng;
use common::reference;
use surprisal::{
    Array, BinaryCrossEntropy, BinaryFocal, BinaryLabels, CrossEntropy, CrossEntropyInput, Device,
    DivergenceInput, Elementwise, ElementwiseInput, ElementwiseLoss, Entropy, EntropyBackward,
    EntropyBackwardInput, Error, Focal, InputForm, JsDivergence, KlDivergence, Loss, Matrix,
    Reduction, Targets, Unit,
};

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;
const ROWS: usize = 5;
const CLASSES: usize = 7;

fn normal(n: usize, seed: u64) -> Vec<f64> {
    let mut rng = Rng::new(seed);
    (0..n).map(|_| 2.0 * rng.normal()).collect()
}

fn matrix(values: &[f64]) -> Matrix<'_> {
    Matrix::new(values, ROWS, CLASSES).expect("its shape")
}

fn logits(seed: u64) -> Vec<f64> {
    normal(ROWS * CLASSES, seed)
}

/// Rows that are distributions.
fn probs(seed: u64) -> Vec<f64> {
    reference::softmax(matrix(&logits(seed)))
}

/// The same away from 0, where a logarithm bends too much for differences.
fn mild_probs(seed: u64) -> Vec<f64> {
    let x: Vec<f64> = logits(seed).iter().map(|x| x / 4.0).collect();
    reference::softmax(matrix(&x))
}

const TARGETS: [i64; ROWS] = [3, 0, -100, 6, 6];

fn each(loss: &Loss) -> Vec<f64> {
    loss.each().map(Array::to_f64).expect("by rows")
}

fn values(array: Option<&Array>) -> Vec<f64> {
    array.map(Array::to_f64).expect("asked for")
}

fn assert_near(got: &[f64], want: &[f64], bound: f64) {
    assert_eq!(got.len(), want.len());
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let near = (got - want).abs() <= bound * want.abs().max(1.0);
        assert!(near, "[{i}]: {got:e}, want {want:e}");
    }
}

fn bound_of(device: &Device) -> f64 {
    if device.info().kind == surprisal::DeviceKind::Reference { 1e-13 } else { 3e-6 }
}

fn targeted<'a>(
    op: &CrossEntropy,
    x: &'a [f64],
    targets: impl Into<Targets<'a>>,
) -> surprisal::CrossEntropyOutput {
    let input = CrossEntropyInput::new(matrix(x), targets);
    reference::cross_entropy(op, &input).expect("sound")
}

fn pair<'a>(teacher: &'a [f64], student: &'a [f64]) -> DivergenceInput<'a> {
    DivergenceInput::new(matrix(teacher), matrix(student))
}

fn weighed<'a>(x: &'a [f64], y: &'a [f64], weights: &'a [f64]) -> ElementwiseInput<'a> {
    ElementwiseInput::new(matrix(x), matrix(y)).with_weights(matrix(weights))
}

/// Central differences of the reduced loss against the gradient.
fn assert_gradient(got: &[f64], x: &[f64], loss: impl Fn(&[f64]) -> f64) {
    let h = 1e-5;
    let mut moved = x.to_vec();
    for (i, got) in got.iter().enumerate() {
        moved[i] = x[i] + h;
        let above = loss(&moved);
        moved[i] = x[i] - h;
        let below = loss(&moved);
        moved[i] = x[i];
        let want = (above - below) / (2.0 * h);
        assert!((got - want).abs() < 1e-7, "[{i}]: gradient {got}, differences {want}");
    }
}

fn reduced(loss: &Loss) -> f64 {
    loss.reduced().expect("reduced")
}

#[test]
fn gradients_of_probability_targets_and_normalized_input() {
    let weights: Vec<f64> = (0..CLASSES).map(|j| 0.5 + j as f64 / 4.0).collect();
    let (x, q) = (logits(1), probs(2));
    let new = || CrossEntropy::new().with_gradient().with_target_gradient();
    for op in [
        new(),
        new().with_class_weights(weights.clone()).with_label_smoothing(0.2),
        new().with_z_loss(0.1).with_softcap(5.0).with_logit_scale(1.5).with_unit(Unit::Bits),
    ] {
        let output = targeted(&op, &x, matrix(&q));
        let of_logits = |x: &[f64]| reduced(&targeted(&op, x, matrix(&q)).loss);
        assert_gradient(&values(output.dlogits.as_ref()), &x, of_logits);
        let of_targets = |q: &[f64]| reduced(&targeted(&op, &x, matrix(q)).loss);
        assert_gradient(&values(output.dtargets.as_ref()), &q, of_targets);
    }
    for form in [InputForm::LogProbs, InputForm::Probs] {
        let x = match form {
            InputForm::Probs => mild_probs(3),
            _ => reference::log_softmax(matrix(&logits(3))),
        };
        let op = new().with_form(form).with_class_weights(weights.clone());
        let of_input = |x: &[f64]| reduced(&targeted(&op, x, matrix(&q)).loss);
        let output = targeted(&op, &x, matrix(&q));
        assert_gradient(&values(output.dlogits.as_ref()), &x, of_input);
        let op = CrossEntropy::new().with_form(form).with_gradient();
        let of_input = |x: &[f64]| reduced(&targeted(&op, x, &TARGETS).loss);
        let output = targeted(&op, &x, &TARGETS);
        assert_gradient(&values(output.dlogits.as_ref()), &x, of_input);
    }
}

#[test]
fn gradients_of_focal_loss_and_entropy() {
    let x = logits(4);
    for gamma in [0.0, 0.5, 1.0, 2.5] {
        let alpha = (0..CLASSES).map(|j| 0.25 + j as f64 / 8.0);
        let op = Focal::new().with_gamma(gamma).with_alpha(alpha).with_gradient();
        let run = |x: &[f64]| {
            reference::focal(&op, &CrossEntropyInput::new(matrix(x), &TARGETS)).expect("sound")
        };
        let gradient = values(run(&x).dlogits.as_ref());
        assert_gradient(&gradient, &x, |x| reduced(&run(x).loss));
    }
    let dentropy = normal(ROWS, 5);
    let gradient = reference::entropy_backward(matrix(&x), &dentropy).expect("same rows");
    assert_gradient(&gradient, &x, |x| {
        let entropies = reference::entropy(matrix(x));
        entropies.iter().zip(&dentropy).map(|(h, d)| h * d).sum()
    });
}

#[test]
fn gradients_of_divergences() {
    let x = logits(6);
    for form in [InputForm::Logits, InputForm::LogProbs, InputForm::Probs] {
        let teacher = match form {
            InputForm::Probs => probs(7).iter().map(|p| 0.8 * p).collect(),
            InputForm::LogProbs => reference::log_softmax(matrix(&logits(7))),
            _ => logits(7),
        };
        let kl = KlDivergence::new().with_teacher(form).with_temperature(1.7).with_gradient();
        for op in [kl, kl.with_reverse()] {
            let run = |x: &[f64]| reference::kl_divergence(&op, &pair(&teacher, x)).expect("sound");
            let gradient = values(run(&x).dstudent.as_ref());
            assert_gradient(&gradient, &x, |x| reduced(&run(x).loss));
        }
        for beta in [0.5, 0.125, 0.9] {
            let op = JsDivergence::new().with_teacher(form).with_beta(beta).with_gradient();
            let run = |x: &[f64]| reference::js_divergence(&op, &pair(&teacher, x)).expect("sound");
            let gradient = values(run(&x).dstudent.as_ref());
            assert_gradient(&gradient, &x, |x| reduced(&run(x).loss));
        }
    }
}

#[test]
fn gradients_of_elementwise_losses() {
    let (x, p, soft) = (logits(8), mild_probs(9), probs(10));
    let signs: Vec<f64> = x.iter().map(|x| if *x > 0.3 { 1.0 } else { -1.0 }).collect();
    let weights = probs(11);
    let positive = (0..CLASSES).map(|j| 0.5 + j as f64 / 4.0);
    let new = || BinaryCrossEntropy::new().with_gradient();
    for (op, x, y) in [
        (new().with_pos_weight(positive), &x, &soft),
        (new().with_labels(BinaryLabels::PlusMinus).with_unit(Unit::Bits), &x, &signs),
        (new().with_form(InputForm::Probs), &p, &soft),
    ] {
        let run = |x: &[f64]| {
            reference::binary_cross_entropy(&op, &weighed(x, y, &weights)).expect("sound")
        };
        assert_gradient(&values(run(x).dinput.as_ref()), x, |x| reduced(&run(x).loss));
    }
    for gamma in [0.0, 0.5, 2.0] {
        let op = BinaryFocal::new().with_gamma(gamma).with_alpha(0.3).with_gradient();
        let run =
            |x: &[f64]| reference::binary_focal(&op, &weighed(x, &soft, &weights)).expect("sound");
        assert_gradient(&values(run(&x).dinput.as_ref()), &x, |x| reduced(&run(x).loss));
    }
    for (loss, y) in [
        (ElementwiseLoss::Squared, &soft),
        (ElementwiseLoss::Absolute, &soft),
        (ElementwiseLoss::Huber { delta: 0.9 }, &soft),
        (ElementwiseLoss::Hinge, &signs),
    ] {
        let op = Elementwise::new(loss).with_gradient();
        let run = |x: &[f64]| reference::elementwise(&op, &weighed(x, y, &weights)).expect("sound");
        assert_gradient(&values(run(&x).dinput.as_ref()), &x, |x| reduced(&run(x).loss));
    }
}

#[test]
fn a_one_hot_target_equals_an_index_target() {
    let x = logits(12);
    let classes = [3i64, 0, 5, 6, 6];
    let mut one_hot = vec![0.0; x.len()];
    for (row, class) in classes.iter().enumerate() {
        one_hot[row * CLASSES + usize::try_from(*class).expect("a class")] = 1.0;
    }
    for device in common::devices() {
        for form in [InputForm::Logits, InputForm::LogProbs, InputForm::Probs] {
            let x = match form {
                InputForm::Logits => x.clone(),
                InputForm::LogProbs => reference::log_softmax(matrix(&x)),
                _ => reference::softmax(matrix(&x)),
            };
            let op = CrossEntropy::new().with_form(form).with_gradient();
            let op = op.with_reduction(Reduction::None).with_metrics();
            let run = |targets| device.run(&op, CrossEntropyInput::new(matrix(&x), targets));
            let index = run(Targets::I64(&classes)).expect("sound");
            let label = run(Targets::Probs(matrix(&one_hot))).expect("sound");
            let bound = bound_of(&device);
            assert_near(&each(&label.loss), &each(&index.loss), bound);
            assert_near(&values(label.dlogits.as_ref()), &values(index.dlogits.as_ref()), bound);
            let (index, label) = (index.metrics.expect("asked for"), label.metrics.expect("too"));
            assert_eq!((&index.argmax, index.correct), (&label.argmax, label.correct));
            assert_near(&[label.perplexity], &[index.perplexity], bound);
        }
    }
}

#[test]
fn smoothing_by_option_equals_smoothing_by_targets() {
    let x = logits(13);
    let classes = [3i64, 0, 5, 6, 6];
    let e = 0.15;
    let smooth: Vec<f64> = (0..x.len())
        .map(|i| {
            let hit = f64::from(u8::from(usize::try_from(classes[i / CLASSES]) == Ok(i % CLASSES)));
            (1.0 - e) * hit + e / CLASSES as f64
        })
        .collect();
    for device in common::devices() {
        let op = CrossEntropy::new().with_gradient();
        let option = op.clone().with_label_smoothing(e);
        let option = device.run(&option, CrossEntropyInput::new(matrix(&x), &classes));
        let targets = device.run(&op, CrossEntropyInput::new(matrix(&x), matrix(&smooth)));
        let (option, targets) = (option.expect("sound"), targets.expect("sound"));
        let bound = bound_of(&device);
        assert_near(&[reduced(&targets.loss)], &[reduced(&option.loss)], bound);
        assert_near(&values(targets.dlogits.as_ref()), &values(option.dlogits.as_ref()), bound);
    }
}

#[test]
fn focal_without_gamma_is_cross_entropy() {
    let x = logits(14);
    for device in common::devices() {
        let input = || CrossEntropyInput::new(matrix(&x), &TARGETS);
        let plain = device.run(&CrossEntropy::new().with_gradient(), input()).expect("sound");
        let focal = device.run(&Focal::new().with_gamma(0.0).with_gradient(), input());
        let focal = focal.expect("sound");
        let bound = bound_of(&device);
        assert_near(&[reduced(&focal.loss)], &[reduced(&plain.loss)], bound);
        assert_near(&values(focal.dlogits.as_ref()), &values(plain.dlogits.as_ref()), bound);
    }
}

#[test]
fn the_divergence_from_itself_is_0() {
    let x = logits(15);
    for device in common::devices() {
        let input = || DivergenceInput::new(matrix(&x), matrix(&x));
        let by_row = Reduction::None;
        let kl = KlDivergence::new().with_reduction(by_row).with_gradient();
        let js = JsDivergence::new().with_reduction(by_row).with_gradient();
        for output in [
            device.run(&kl, input()),
            device.run(&kl.with_reverse(), input()),
            device.run(&js, input()),
        ] {
            let output = output.expect("sound");
            let bound = bound_of(&device);
            assert_near(&each(&output.loss), &[0.0; ROWS], bound);
            assert_near(&values(output.dstudent.as_ref()), &[0.0; ROWS * CLASSES], bound);
        }
        let output = device.run(&kl, input()).expect("sound");
        assert_eq!(each(&output.loss), [0.0; ROWS], "exactly, {}", device.info());
    }
}

#[test]
fn js_is_symmetric_and_at_most_log_2() {
    let (a, b) = (logits(16), logits(17));
    let far: Vec<f64> =
        (0..ROWS * CLASSES).map(|i| if i % 2 == 0 { 200.0 } else { -200.0 }).collect();
    let other: Vec<f64> = far.iter().map(|x| -x).collect();
    for device in common::devices() {
        let op = JsDivergence::new().with_reduction(Reduction::None);
        let run = |p, q| {
            let input = DivergenceInput::new(matrix(p), matrix(q));
            each(&device.run(&op, input).expect("sound").loss)
        };
        assert_near(&run(&a, &b), &run(&b, &a), bound_of(&device));
        let most = run(&far, &other);
        assert_near(&most, &[std::f64::consts::LN_2; ROWS], bound_of(&device));
        assert!(most.iter().all(|js| *js <= std::f64::consts::LN_2 * (1.0 + 1e-6)));
    }
}

#[test]
fn cross_entropy_is_entropy_and_divergence() {
    let (t, x) = (logits(18), logits(19));
    let p = reference::softmax(matrix(&t));
    for device in common::devices() {
        let none = Reduction::None;
        let cross = CrossEntropy::new().with_reduction(none);
        let cross = device.run(&cross, CrossEntropyInput::new(matrix(&x), matrix(&p)));
        let cross = each(&cross.expect("sound").loss);
        let kl = KlDivergence::new().with_reduction(none);
        let kl = device.run(&kl, DivergenceInput::new(matrix(&t), matrix(&x)));
        let kl = each(&kl.expect("sound").loss);
        let entropy = device.run(&Entropy::new(), matrix(&t)).expect("sound").to_f64();
        let sum: Vec<f64> = entropy.iter().zip(&kl).map(|(h, kl)| h + kl).collect();
        assert_near(&cross, &sum, bound_of(&device));
    }
}

#[test]
fn binary_is_a_softmax_of_two() {
    let x = logits(20);
    let y: Vec<f64> = (0..x.len()).map(|i| f64::from(u8::from(i % 3 == 0))).collect();
    let signs: Vec<f64> = y.iter().map(|y| 2.0 * y - 1.0).collect();
    let pairs: Vec<f64> = x.iter().flat_map(|x| [0.0, *x]).collect();
    let classes: Vec<i64> = y.iter().map(|y| *y as i64).collect();
    for device in common::devices() {
        let none = Reduction::None;
        let two = Matrix::new(&pairs, x.len(), 2).expect("its shape");
        let softmax = CrossEntropy::new().with_reduction(none).with_gradient();
        let softmax = device.run(&softmax, CrossEntropyInput::new(two, &classes)).expect("sound");
        let dx: Vec<f64> = values(softmax.dlogits.as_ref()).chunks(2).map(|pair| pair[1]).collect();
        let op = BinaryCrossEntropy::new().with_reduction(none).with_gradient();
        let plus_minus = op.clone().with_labels(BinaryLabels::PlusMinus);
        for (op, y) in [(op, &y), (plus_minus, &signs)] {
            let binary = device.run(&op, ElementwiseInput::new(matrix(&x), matrix(y)));
            let binary = binary.expect("sound");
            let bound = bound_of(&device);
            assert_near(&each(&binary.loss), &each(&softmax.loss), bound);
            assert_near(&values(binary.dinput.as_ref()), &dx, bound);
        }
    }
}

#[test]
fn units_scale_losses_and_gradients_alike() {
    let x = logits(21);
    for (unit, per_nat) in [(Unit::Bits, 1.0 / 2f64.ln()), (Unit::Hartleys, 1.0 / 10f64.ln())] {
        for device in common::devices() {
            let run = |unit| {
                let op = CrossEntropy::new().with_gradient().with_metrics().with_unit(unit);
                device.run(&op, CrossEntropyInput::new(matrix(&x), &TARGETS)).expect("sound")
            };
            let (nats, other) = (run(Unit::Nats), run(unit));
            let bound = bound_of(&device);
            assert_near(&[reduced(&other.loss)], &[per_nat * reduced(&nats.loss)], bound);
            let scaled: Vec<f64> =
                values(nats.dlogits.as_ref()).iter().map(|d| d * per_nat).collect();
            assert_near(&values(other.dlogits.as_ref()), &scaled, bound);
            assert_eq!(nats.lse, other.lse, "a log-sum-exp stays in nats");
            let perplexity = |output: &surprisal::CrossEntropyOutput| {
                output.metrics.as_ref().expect("asked for").perplexity
            };
            assert_eq!(perplexity(&nats), perplexity(&other));
        }
    }
}

fn same(got: f64, want: f64) -> bool {
    got == want || got.is_nan() && want.is_nan() || (got - want).abs() < 1e-6
}

#[test]
fn special_values_of_binary_losses() {
    // x, y, loss, derivative: the limits, never NaN but for NaN.
    let table = [
        (INF, 1.0, 0.0, 0.0),
        (INF, 0.0, INF, 1.0),
        (-INF, 1.0, INF, -1.0),
        (-INF, 0.0, 0.0, 0.0),
        (INF, 0.5, INF, 0.5),
        (NAN, 1.0, NAN, NAN),
        (0.0, 1.0, std::f64::consts::LN_2, -0.5),
    ];
    let (x, y): (Vec<f64>, Vec<f64>) = table.iter().map(|(x, y, ..)| (*x, *y)).unzip();
    let matrix = |values| Matrix::new(values, 1, table.len()).expect("a row");
    for device in common::devices() {
        let op = BinaryCrossEntropy::new().with_reduction(Reduction::None).with_gradient();
        let binary = device.run(&op, ElementwiseInput::new(matrix(&x), matrix(&y)));
        let focal = BinaryFocal::new().with_gamma(0.0).with_reduction(Reduction::None);
        let focal = focal.with_gradient();
        let focal = device.run(&focal, ElementwiseInput::new(matrix(&x), matrix(&y)));
        for output in [binary, focal] {
            let output = output.expect("sound");
            let (loss, slope) = (each(&output.loss), values(output.dinput.as_ref()));
            for (i, (x, y, want, want_slope)) in table.iter().enumerate() {
                assert!(same(loss[i], *want), "{} {x} {y}: {}", device.info(), loss[i]);
                assert!(same(slope[i], *want_slope), "{} {x} {y}: {}", device.info(), slope[i]);
            }
        }
    }
}

#[test]
fn special_values_of_divergences() {
    // Teacher, student, KL, its gradient, reverse KL.
    type Row = ([f64; 3], [f64; 3], f64, [f64; 3], f64);
    let third = 1.0 / 3.0;
    let table: [Row; 7] = [
        ([0.0, -INF, -INF], [0.0, 0.0, 0.0], 3f64.ln(), [third - 1.0, third, third], INF),
        ([0.0, 0.0, 0.0], [0.0, -INF, -INF], INF, [2.0 / 3.0, -third, -third], 3f64.ln()),
        // Hardly possible, but not impossible: more than f32 and f64 can tell from 0.
        ([0.0, -1000.0, 0.0], [0.0, -INF, 0.0], INF, [0.0; 3], 0.0),
        ([-INF; 3], [0.0; 3], NAN, [NAN; 3], NAN),
        ([0.0; 3], [-INF; 3], NAN, [NAN; 3], NAN),
        ([INF, 0.0, 0.0], [0.0; 3], NAN, [NAN; 3], NAN),
        ([0.0; 3], [0.0, NAN, 0.0], NAN, [NAN; 3], NAN),
    ];
    let teacher: Vec<f64> = table.iter().flat_map(|row| row.0).collect();
    let student: Vec<f64> = table.iter().flat_map(|row| row.1).collect();
    let matrix = |values| Matrix::new(values, table.len(), 3).expect("its shape");
    for device in common::devices() {
        let input = || DivergenceInput::new(matrix(&teacher), matrix(&student));
        let op = KlDivergence::new().with_reduction(Reduction::None).with_gradient();
        let output = device.run(&op, input()).expect("sound");
        let reverse = device.run(&op.with_reverse(), input()).expect("sound");
        let (kl, gradient) = (each(&output.loss), values(output.dstudent.as_ref()));
        let reverse = each(&reverse.loss);
        let js = JsDivergence::new().with_reduction(Reduction::None).with_gradient();
        let js = device.run(&js, input()).expect("sound");
        let (js, js_gradient) = (each(&js.loss), values(js.dstudent.as_ref()));
        for (i, row) in table.iter().enumerate() {
            assert!(same(kl[i], row.2), "{} {row:?}: {}", device.info(), kl[i]);
            assert!(same(reverse[i], row.4), "{} {row:?}: {}", device.info(), reverse[i]);
            assert_eq!(js[i].is_nan(), i > 2, "{} {row:?}: {}", device.info(), js[i]);
            for j in 0..3 {
                let got = gradient[3 * i + j];
                assert!(same(got, row.3[j]), "{} {row:?}: {got}", device.info());
                let got = js_gradient[3 * i + j];
                assert_eq!(got.is_nan(), i > 2, "{} {row:?}: {got}", device.info());
            }
        }
    }
}

#[test]
fn normalized_input_without_weight() {
    let x = reference::log_softmax(matrix(&logits(27)));
    for device in common::devices() {
        let op = CrossEntropy::new().with_form(InputForm::LogProbs).with_gradient();
        let op = op.with_class_weights([0.0; CLASSES]);
        let output = device.run(&op, CrossEntropyInput::new(matrix(&x), &TARGETS)).expect("sound");
        assert!(reduced(&output.loss).is_nan());
        for (i, d) in values(output.dlogits.as_ref()).iter().enumerate() {
            assert_eq!(d.is_nan(), i / CLASSES != 2, "{} [{i}]: {d}", device.info());
        }
    }
}

#[test]
fn an_infinite_log_probability_is_its_row_s() {
    let mut x = reference::log_softmax(matrix(&logits(28)));
    x[CLASSES + 2] = INF;
    let mut q = probs(29);
    q[CLASSES + 2] = 0.0;
    for device in common::devices() {
        let op = CrossEntropy::new().with_form(InputForm::LogProbs).with_gradient();
        let op = op.with_reduction(Reduction::None);
        let output = device.run(&op, CrossEntropyInput::new(matrix(&x), matrix(&q)));
        let output = output.expect("sound");
        for (row, loss) in each(&output.loss).iter().enumerate() {
            assert_eq!(loss.is_nan(), row == 1, "{} row {row}: {loss}", device.info());
        }
        for (i, d) in values(output.dlogits.as_ref()).iter().enumerate() {
            assert_eq!(d.is_nan(), i / CLASSES == 1, "{} [{i}]: {d}", device.info());
        }
        // An index target reads its own column and no other.
        let output = device.run(&op, CrossEntropyInput::new(matrix(&x), &TARGETS)).expect("sound");
        assert!(each(&output.loss).iter().all(|loss| loss.is_finite()), "{}", device.info());
    }
}

#[test]
fn the_sum_of_nothing_is_0() {
    let nothing = Matrix::new(&[0f32; 0], 0, 4).expect("no rows");
    for device in common::devices() {
        let op = CrossEntropy::new().with_reduction(Reduction::Sum);
        let output = device.run(&op, CrossEntropyInput::new(nothing, &[0i64; 0]));
        let sum = reduced(&output.expect("sound").loss);
        assert_eq!(sum.to_bits(), 0, "{}: {sum:?}", device.info());
    }
}

#[test]
fn a_difference_of_infinities_is_nan() {
    let row = Matrix::new(&[f32::INFINITY, f32::NEG_INFINITY], 1, 2).expect("a row");
    for device in common::devices() {
        for loss in [
            ElementwiseLoss::Squared,
            ElementwiseLoss::Absolute,
            ElementwiseLoss::Huber { delta: 1.0 },
        ] {
            let op = Elementwise::new(loss).with_reduction(Reduction::None).with_gradient();
            let output = device.run(&op, ElementwiseInput::new(row, row)).expect("sound");
            assert!(each(&output.loss).iter().all(|x| x.is_nan()), "{loss:?}");
            assert!(values(output.dinput.as_ref()).iter().all(|x| x.is_nan()), "{loss:?}");
        }
    }
}

#[test]
fn a_nan_label_is_its_row_s() {
    let x = logits(22);
    for device in common::devices() {
        let mut q = probs(23);
        q[CLASSES + 2] = NAN;
        let op = CrossEntropy::new().with_reduction(Reduction::None).with_gradient();
        let output = device.run(&op, CrossEntropyInput::new(matrix(&x), matrix(&q)));
        let output = output.expect("sound");
        for (row, loss) in each(&output.loss).iter().enumerate() {
            assert_eq!(loss.is_nan(), row == 1, "{} row {row}", device.info());
        }
        for (i, d) in values(output.dlogits.as_ref()).iter().enumerate() {
            assert_eq!(d.is_nan(), i / CLASSES == 1, "{} [{i}]", device.info());
        }
    }
}

#[test]
fn metrics_of_empty_and_ignored_batches() {
    for device in common::devices() {
        let op = CrossEntropy::new().with_metrics();
        let empty = Matrix::new(&[0f32; 0], 0, 3).expect("no rows");
        let output = device.run(&op, CrossEntropyInput::new(empty, &[0i64; 0])).expect("sound");
        let metrics = output.metrics.expect("asked for");
        assert!(metrics.argmax.is_empty() && metrics.accuracy.is_nan());
        let two = Matrix::new(&[1f32, 2.0, f32::NAN, 0.0], 2, 2).expect("its shape");
        let output = device.run(&op, CrossEntropyInput::new(two, &[-100i64, -100]));
        let metrics = output.expect("sound").metrics.expect("asked for");
        assert_eq!((metrics.argmax, metrics.correct), (vec![-1, -1], 0));
        assert!(metrics.accuracy.is_nan() && metrics.perplexity.is_nan());
    }
}

#[test]
fn elementwise_losses_of_nothing() {
    let nothing = Matrix::new(&[0f32; 0], 0, 4).expect("no rows");
    for device in common::devices() {
        for (reduction, want) in [(Reduction::Mean, NAN), (Reduction::Sum, 0.0)] {
            let op = BinaryCrossEntropy::new().with_reduction(reduction).with_gradient();
            let output = device.run(&op, ElementwiseInput::new(nothing, nothing)).expect("sound");
            assert!(same(reduced(&output.loss), want));
            assert!(output.dinput.expect("asked for").is_empty());
            let op = KlDivergence::new().with_reduction(reduction).with_gradient();
            let output = device.run(&op, DivergenceInput::new(nothing, nothing)).expect("sound");
            assert!(same(reduced(&output.loss), want));
        }
    }
}

fn assert_invalid<T: std::fmt::Debug>(result: surprisal::Result<T>, argument: &str) {
    match result.expect_err("it is wrong") {
        Error::InvalidInput { what, reason } => assert_eq!(what, argument, "{reason}"),
        Error::ShapeMismatch { what, .. } => assert_eq!(what, argument),
        other => panic!("{argument}: {other}"),
    }
}

#[test]
fn options_that_exclude_each_other() {
    let (x, q) = (probs(24), probs(25));
    for device in common::devices() {
        let new = CrossEntropy::new;
        let index =
            |op: &CrossEntropy| device.run(op, CrossEntropyInput::new(matrix(&x), &TARGETS));
        let labels =
            |op: &CrossEntropy| device.run(op, CrossEntropyInput::new(matrix(&x), matrix(&q)));
        let log_probs = || new().with_form(InputForm::LogProbs);
        assert_invalid(index(&log_probs().with_label_smoothing(0.1)), "label_smoothing");
        assert_invalid(index(&log_probs().with_z_loss(0.1)), "z_loss");
        assert_invalid(index(&log_probs().with_softcap(3.0)), "softcap");
        assert_invalid(index(&log_probs().with_logit_scale(2.0)), "logit_scale");
        assert_invalid(index(&log_probs().with_clamp(1e-6)), "clamp");
        let probs = || new().with_form(InputForm::Probs);
        assert_invalid(index(&probs().with_clamp(0.0)), "clamp");
        assert_invalid(index(&new().with_target_gradient()), "target_gradient");
        assert_invalid(labels(&new().with_ignore_index(-100)), "ignore_index");
        assert!(labels(&new().with_ignore_index(None)).is_ok());
        assert_invalid(new().with_inverse_frequency_weights(matrix(&q), CLASSES), "class_weights");
        let focal = CrossEntropyInput::new(matrix(&x), matrix(&q));
        assert_invalid(device.run(&Focal::new(), focal), "targets");
    }
}

#[test]
fn numbers_out_of_range() {
    let (good, mut bad) = (probs(26), probs(26));
    bad[CLASSES + 3] = 1.25;
    for device in common::devices() {
        let pair = |x, y| ElementwiseInput::new(matrix(x), matrix(y));
        let binary = BinaryCrossEntropy::new;
        let probs = binary().with_form(InputForm::Probs);
        let error = device.run(&probs, pair(&bad, &good)).expect_err("1.25 is no probability");
        let text = error.to_string();
        assert!(text.contains("1.25 of row 1, column 3"), "{text}");
        assert_invalid(device.run(&binary(), pair(&good, &bad)), "targets");
        let signs = binary().with_labels(BinaryLabels::PlusMinus);
        assert_invalid(device.run(&signs, pair(&good, &good)), "targets");
        let log_probs = binary().with_form(InputForm::LogProbs);
        assert_invalid(device.run(&log_probs, pair(&good, &good)), "form");
        let weighed = probs.clone().with_pos_weight([1.0; CLASSES]);
        assert_invalid(device.run(&weighed, pair(&good, &good)), "pos_weight");
        let weighed = binary().with_pos_weight([1.0; 2]);
        assert_invalid(device.run(&weighed, pair(&good, &good)), "pos_weight");
        let weighed = binary().with_pos_weight_of_all(1e39);
        assert_invalid(device.run(&weighed, pair(&good, &good)), "pos_weight");
        let weighed = probs.clone().with_pos_weight_of_all(2.0);
        assert_invalid(device.run(&weighed, pair(&good, &good)), "pos_weight");
        let gamma = BinaryFocal::new().with_gamma(-1.0);
        assert_invalid(device.run(&gamma, pair(&good, &good)), "gamma");
        let alpha = BinaryFocal::new().with_alpha(1.5);
        assert_invalid(device.run(&alpha, pair(&good, &good)), "alpha");
        let huber = Elementwise::new(ElementwiseLoss::Huber { delta: 0.0 });
        assert_invalid(device.run(&huber, pair(&good, &good)), "delta");
        let hinge = Elementwise::new(ElementwiseLoss::Hinge);
        assert_invalid(device.run(&hinge, pair(&good, &good)), "targets");
        let teacher = KlDivergence::new().with_teacher(InputForm::Probs);
        let input = DivergenceInput::new(matrix(&bad), matrix(&good));
        assert_invalid(device.run(&teacher, input), "teacher");
        let input = DivergenceInput::new(matrix(&good), matrix(&good));
        assert_invalid(
            device.run(&KlDivergence::new().with_temperature(0.0), input),
            "temperature",
        );
        let short = Matrix::new(&good[..CLASSES], 1, CLASSES).expect("a row");
        let input = DivergenceInput::new(short, matrix(&good));
        assert_invalid(device.run(&JsDivergence::new(), input), "student");
        let op = EntropyBackward::new();
        let input = EntropyBackwardInput::new(matrix(&good), &good[..1]);
        assert_invalid(device.run(&op, input), "dentropy");
    }
}
