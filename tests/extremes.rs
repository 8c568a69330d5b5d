//! Numbers near the ends of f32's range, worked out by hand, on every device: what overflows on the way
//! though its result does not, and sums of many equal losses.

mod common;

use common::{Subject, cpu_subjects, gpu_subjects, sums};
use surprisal::{
    Array, CrossEntropy, CrossEntropyInput, DivergenceInput, JsDivergence, KlDivergence,
    LinearCrossEntropy, LinearCrossEntropyInput, Matrix, Reduction, Upstream,
};

const INF: f64 = f64::INFINITY;

fn subjects() -> Vec<Subject> {
    let mut subjects = gpu_subjects();
    subjects.extend(cpu_subjects());
    subjects.push(Subject::reference());
    subjects
}

/// As far as f32 can tell: what is past its largest number is infinite there.
#[track_caller]
fn assert_like(what: &str, got: &Array, want: &[f64]) {
    let got = got.to_f64();
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let (got, want) = (f64::from(*got as f32), f64::from(*want as f32));
        let near = (got - want).abs() <= 1e-5 * want.abs().max(0.1) || got == want;
        assert!(near || got.is_nan() && want.is_nan(), "{what}[{i}]: got {got:e}, want {want:e}");
    }
}

/// A row of logits that overflow when they are scaled, its target, the scale, its loss and gradient.
type ScaledRow = ([f32; 3], i64, f64, f64, [f64; 3]);

const SCALED: [ScaledRow; 8] = [
    ([2.5e38, -2.5e38, 0.0], 0, 1.5, 0.0, [0.0; 3]),
    ([2.5e38, -2.5e38, 0.0], 1, -1.5, 0.0, [0.0; 3]),
    ([2.5e38, 0.0, -2.5e38], 0, -1.5, INF, [1.5, 0.0, -1.5]),
    ([2.5e38, -2.5e38, 0.0], 2, 1.5, INF, [1.5, 0.0, -1.5]),
    ([3e38, 3e38, 0.0], 0, 100.0, std::f64::consts::LN_2, [-50.0, 50.0, 0.0]),
    ([-3e38, 0.0, -3e38], 2, -100.0, std::f64::consts::LN_2, [-50.0, 0.0, 50.0]),
    ([2e38, 1.9e38, -3e38], 1, 10.0, 1e38, [10.0, -10.0, 0.0]),
    // At 1 and below the products do not overflow, and distances may.
    ([3e38, -3e38, 0.0], 0, 0.5, 0.0, [0.0; 3]),
];

#[test]
fn scaled_logits_that_overflow() {
    for subject in subjects() {
        for (x, target, scale, loss, gradient) in SCALED {
            let what = format!("{} {x:?} {target} times {scale}", subject.name);
            let matrix = Matrix::new(&x, 1, 3).expect("a row");
            let op = CrossEntropy::new()
                .with_reduction(Reduction::None)
                .with_logit_scale(scale)
                .with_gradient()
                .with_metrics();
            let targets = [target];
            let input = CrossEntropyInput::new(matrix, &targets);
            let got = subject.device.run(&op, input).expect("sound");
            let best = if scale < 0.0 { x.map(|x| -x) } else { x };
            let first = (0..3).rev().max_by(|&a, &b| best[a].total_cmp(&best[b])).expect("three");
            assert_eq!(
                got.metrics.expect("asked for").argmax,
                [i64::try_from(first).expect("few")],
                "{what}"
            );
            assert_like(&format!("{what}: loss"), got.loss.each().expect("by rows"), &[loss]);
            assert_like(&what, &got.dlogits.expect("asked for"), &gradient);

            // The same by probability targets, with their gradient: scaled distances and log 1.
            let q = std::array::from_fn::<f32, 3, _>(|j| {
                if usize::try_from(target) == Ok(j) { 1.0 } else { 0.0 }
            });
            let q = Matrix::new(&q, 1, 3).expect("a row");
            let op = op.with_target_gradient();
            let input = CrossEntropyInput::new(matrix, q);
            let got = subject.device.run(&op, input).expect("sound");
            assert_like(&format!("{what}: loss"), got.loss.each().expect("by rows"), &[loss]);
            assert_like(&what, &got.dlogits.expect("asked for"), &gradient);
            let top = x.iter().map(|&x| f64::from(x) * scale).fold(-INF, f64::max);
            let z = x.map(|x| f64::from(x) * scale);
            let ties = z.iter().filter(|z| **z == top).count() as f64;
            let nll: Vec<f64> = z.iter().map(|z| (top - z) + ties.ln()).collect();
            assert_like(&what, &got.dtargets.expect("asked for"), &nll);
        }
    }
}

/// A log-sum-exp that overflows, and what a z-loss and label smoothing make of it.
#[test]
fn scaled_logits_with_a_z_loss_and_smoothing() {
    let x = [2.5e38f32, 2.5e38, 1.5e38];
    let lse = 3.0 * f64::from(2.5e38f32);
    for subject in subjects() {
        let run = |op: CrossEntropy, target: i64| {
            let op = op.with_reduction(Reduction::None).with_logit_scale(3.0).with_gradient();
            let targets = [target];
            let input = CrossEntropyInput::new(Matrix::new(&x, 1, 3).expect("a row"), &targets);
            let output = subject.device.run(&op, input).expect("sound");
            (output.loss.each().expect("by rows").clone(), output.lse, output.dlogits)
        };
        let (loss, got_lse, gradient) = run(CrossEntropy::new().with_z_loss(1e-4), 0);
        assert_like(&subject.name, &loss, &[INF]);
        assert_like(&subject.name, &got_lse, &[INF]);
        let more = 3.0 * 1e-4 * lse;
        assert_like(&subject.name, &gradient.expect("asked for"), &[more, more, 0.0]);

        let (loss, _, gradient) = run(CrossEntropy::new().with_label_smoothing(0.3), 1);
        assert_like(&subject.name, &loss, &[0.1 * 3.0 * 1e38]);
        let p = 1.5;
        assert_like(&subject.name, &gradient.expect("asked for"), &[p - 0.3, p - 2.4, -0.3]);
        // A class of no weight has no distance.
        let op = CrossEntropy::new().with_label_smoothing(0.3).with_class_weights([1.0, 1.0, 0.0]);
        let (loss, ..) = run(op, 1);
        assert_like(&subject.name, &loss, &[0.9 * std::f64::consts::LN_2]);
    }
}

#[test]
fn a_linear_layer_s_logits_that_overflow_when_scaled() {
    let (hidden, weight) = ([1.0f32, -1.0], [2.5e38f32, -2.5e38, 0.0]);
    let loss = CrossEntropy::new().with_logit_scale(1.5).with_reduction(Reduction::None);
    let op = LinearCrossEntropy::new(loss).with_hidden_gradient();
    let targets = [0i64, 1];
    for subject in subjects() {
        let hidden = Matrix::new(&hidden, 2, 1).expect("its shape");
        let weight = Matrix::new(&weight, 3, 1).expect("its shape");
        let input = LinearCrossEntropyInput::new(hidden, weight, &targets);
        let got = subject.device.run(&op, input).expect("sound");
        assert_like(&subject.name, got.loss.each().expect("by rows"), &[0.0, 0.0]);
        assert_like(&subject.name, &got.dhidden.expect("asked for"), &[0.0, 0.0]);

        // Class by class.
        let mut stream = subject.device.stream_classes(&op, 3, &targets).expect("sound");
        let mut rows = stream.window(hidden, Upstream::default()).expect("sound");
        for _ in 0..rows.passes() {
            for class in weight.values().to_f64() {
                rows.push(Matrix::new(&[class], 1, 1).expect("a class"), None).expect("sound");
            }
        }
        let part = rows.finish().expect("whole");
        assert_like(&subject.name, &part.each.expect("by rows"), &[0.0, 0.0]);
        assert_like(&subject.name, &part.matrix.expect("asked for"), &[0.0, 0.0]);
    }
}

#[test]
fn divergences_of_logits_that_overflow_when_scaled() {
    let x = [2.5e38f32, -2.5e38, 0.0, 2.5e38, 2.5e38, -2e38, 1.0, -1.0, 0.5];
    let q = [1.0f32, 0.0, 0.0, 0.5, 0.5, 0.0, 0.25, 0.5, 0.25];
    let logits = Matrix::new(&x, 3, 3).expect("its shape");
    let kl = KlDivergence::new().with_temperature(0.5).with_gradient();
    let js = JsDivergence::new().with_temperature(0.5).with_gradient();
    for subject in subjects() {
        let input = || DivergenceInput::new(logits, logits);
        for got in [
            subject.device.run(&kl, input()),
            subject.device.run(&kl.with_reverse(), input()),
            subject.device.run(&js, input()),
        ] {
            let got = got.expect("sound");
            let loss = got.loss.reduced().expect("a mean");
            assert!(loss.abs() < 1e-6, "{}: {loss}", subject.name);
            let gradient = got.dstudent.expect("asked for").to_f64();
            assert!(gradient.iter().all(|dx| dx.abs() < 1e-6), "{}: {gradient:?}", subject.name);
        }
        // Of a teacher that is probabilities: the same rows but the last, and a half where it is sure.
        let probs = Matrix::new(&q, 3, 3).expect("its shape");
        let op = kl.with_reduction(Reduction::None).with_teacher(surprisal::InputForm::Probs);
        let got = subject.device.run(&op, DivergenceInput::new(probs, logits)).expect("sound");
        let z = [2.0, -2.0, 1.0];
        let sum: f64 = z.iter().map(|z: &f64| z.exp()).sum();
        let term = |p: f64, z: f64| p * (p.ln() - (z - sum.ln()));
        let last = term(0.25, z[0]) + term(0.5, z[1]) + term(0.25, z[2]);
        assert_like(&subject.name, got.loss.each().expect("by rows"), &[0.0, 0.0, last]);
    }
}

#[test]
fn sums_of_nearly_equal_losses() {
    for subject in subjects() {
        for rows in [1, 3, 1009] {
            sums::of_a_device(&subject, rows).expect("within 2^-22");
        }
    }
    for subject in [Subject::cpu(), Subject::gpu("as it chooses", common::gpu())] {
        sums::of_a_device(&subject, 30_011).expect("within 2^-22");
    }
}

#[test]
fn recorded_sums_of_nearly_equal_losses() {
    let gpu = common::gpu();
    sums::of_a_row_of_elements(&gpu).expect("exact");
    for rows in [1, 2, 7, 64, 4095, 4097, 8192, 100_000, 300_000] {
        sums::of_a_recorded_call(&gpu, rows).expect("within its bound");
        sums::of_a_recorded_call(&common::small_windows(&gpu), rows).expect("within its bound");
    }
}

/// An untrained model: every class is as likely as any other.
#[test]
fn the_loss_of_a_batch_of_zeros() {
    let x = vec![0.0f32; 8192 * 1000];
    let targets = vec![0i64; 8192];
    let input = CrossEntropyInput::new(Matrix::new(&x, 8192, 1000).expect("whole rows"), &targets);
    let gpu = Subject::gpu("as it chooses", common::gpu());
    for subject in [Subject::reference(), Subject::cpu(), gpu] {
        let loss = subject.device.run(&CrossEntropy::new(), input).expect("sound").loss;
        let loss = loss.reduced().expect("a mean");
        let off = (loss / 1000f64.ln() - 1.0).abs();
        assert!(off <= 0.5f64.powi(22), "{}: {loss}", subject.name);
    }
}

/// What only f64 holds is no number to the devices that compute in f32.
#[test]
fn upstream_gradients_that_f32_cannot_hold() {
    let logits = Matrix::new(&[0.0f32, 1.0], 1, 2).expect("its shape");
    let op = CrossEntropy::new().with_gradient();
    for device in common::devices() {
        let run = |dloss| {
            let input = CrossEntropyInput::new(logits, &[0i64]);
            device.run(&op, input.with_upstream(Upstream::Scalar(dloss)))
        };
        let error = run(1e60).expect_err("it is too large");
        assert!(error.to_string().contains("upstream"), "{error}");
        assert!(error.to_string().contains("1e60 is not finite as f32"), "{error}");
        for odd in [f64::INFINITY, f64::NAN, -0.0, 3e38] {
            run(odd).expect("it is what it says");
        }
    }
}
