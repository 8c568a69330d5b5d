//! Every option of cross-entropy, alone and together, on every device; and its gradient by finite
//! differences.

mod common;

use common::cases::{Case, Family};
use common::reference;
use common::{Subject, cpu_subjects, gpu_subjects, suite};
use surprisal::{CrossEntropy, CrossEntropyInput, Error, Matrix, Reduction};

/// Weights with a zero among them: what weighs nothing contributes nothing.
fn weights(classes: usize) -> Vec<f64> {
    (0..classes).map(|j| if j % 5 == 3 { 0.0 } else { 0.25 + (j % 7) as f64 / 4.0 }).collect()
}

fn options(classes: usize) -> Vec<CrossEntropy> {
    let new = CrossEntropy::new;
    vec![
        new().with_class_weights(weights(classes)),
        new().with_label_smoothing(0.1),
        new().with_label_smoothing(1.0),
        new().with_z_loss(1e-3),
        new().with_logit_scale(0.5),
        new().with_logit_scale(3.0),
        new().with_logit_scale(-1.5).with_label_smoothing(0.2).with_z_loss(1e-2),
        new().with_softcap(20.0),
        new().with_normalizer(17.5),
        new()
            .with_class_weights(weights(classes))
            .with_label_smoothing(0.2)
            .with_z_loss(1e-2)
            .with_softcap(15.0)
            .with_logit_scale(1.5),
    ]
}

fn run(subjects: &[Subject], cases: &[Case]) {
    let mut failures = Vec::new();
    for case in cases {
        for op in options(case.classes) {
            for reduction in [Reduction::Mean, Reduction::None] {
                if reduction == Reduction::None && op.normalizer().is_some() {
                    continue;
                }
                let op = op.clone().with_reduction(reduction);
                let outcomes = subjects.iter().map(|s| suite::with_options(s, case, &op));
                failures.extend(outcomes.filter_map(Result::err));
            }
        }
    }
    let shown = failures.iter().take(8).cloned().collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{} failures:\n{shown}", failures.len());
}

fn cases() -> Vec<Case> {
    // One word, an odd length, whole words, several runs, a split row.
    let shapes = [(9, 1), (13, 4), (9, 33), (5, 256), (3, 1031)];
    let families =
        [Family::Normal, Family::Confident, Family::Masked, Family::Sorted, Family::Special];
    let mut cases = Vec::new();
    for (rows, classes) in shapes {
        cases.extend(families.map(|family| family.case(rows, classes, 21)));
    }
    cases
}

#[test]
fn cpu() {
    run(&cpu_subjects(), &cases());
}

#[test]
fn gpu() {
    run(&gpu_subjects(), &cases());
}

#[test]
fn gradients_by_finite_differences() {
    let case = Family::Normal.case(5, 7, 22);
    let logits: Vec<f64> = case.logits.iter().map(|&x| f64::from(x)).collect();
    for op in options(7) {
        let op = op.with_reduction(Reduction::Mean).with_gradient();
        let output = |logits: &[f64]| {
            let matrix = Matrix::new(logits, 5, 7).expect("its shape");
            let input = CrossEntropyInput::new(matrix, &case.targets);
            reference::cross_entropy(&op, &input).expect("the input is sound")
        };
        let dlogits = output(&logits).dlogits.map(|d| d.to_f64()).expect("asked for");
        let mut x = logits.clone();
        for (i, got) in dlogits.iter().enumerate() {
            let h = 1e-5;
            let loss = |x: &[f64]| output(x).loss.reduced().expect("a mean");
            x[i] = logits[i] + h;
            let above = loss(&x);
            x[i] = logits[i] - h;
            let below = loss(&x);
            x[i] = logits[i];
            let want = (above - below) / (2.0 * h);
            assert!((got - want).abs() < 1e-8, "{op:?} [{i}]: {got}, differences {want}");
        }
    }
}

#[test]
fn neutral_options_change_no_bit() {
    let case = Family::Normal.case(9, 20, 23);
    for device in common::devices() {
        let run = |op: &CrossEntropy| {
            let input = CrossEntropyInput::new(case.matrix(), &case.targets);
            device.run(&op.clone().with_gradient(), input).expect("sound")
        };
        let plain = run(&CrossEntropy::new());
        let neutral = CrossEntropy::new()
            .with_label_smoothing(0.0)
            .with_z_loss(0.0)
            .with_logit_scale(1.0)
            .with_softcap(None)
            .with_normalizer(None);
        assert_eq!(format!("{plain:?}"), format!("{:?}", run(&neutral)));
        let ones = run(&CrossEntropy::new().with_class_weights([1.0f32; 20]));
        assert_eq!(format!("{plain:?}"), format!("{ones:?}"), "weights of 1");
    }
}

#[test]
fn a_total_weight_of_zero() {
    let logits = [0.0f32, 1.0, 2.0, 3.0];
    for device in common::devices() {
        let matrix = Matrix::new(&logits, 2, 2).expect("its shape");
        let op = CrossEntropy::new().with_class_weights([0.0f32, 0.0]).with_gradient();
        let output = device.run(&op, CrossEntropyInput::new(matrix, &[0i64, -100]));
        let output = output.expect("sound");
        assert!(output.loss.reduced().expect("a mean").is_nan());
        let dlogits = output.dlogits.expect("asked for").to_f64();
        assert!(dlogits[..2].iter().all(|x| x.is_nan()), "kept: {dlogits:?}");
        assert_eq!(dlogits[2..], [0.0, 0.0], "ignored");
    }
}

#[test]
fn options_out_of_range() {
    let matrix = Matrix::new(&[0.0f32; 6], 2, 3).expect("its shape");
    let new = CrossEntropy::new;
    for device in common::devices() {
        let run = |op: &CrossEntropy| {
            device.run(op, CrossEntropyInput::new(matrix, &[0i64, 1])).expect_err("it is wrong")
        };
        for (op, option) in [
            (new().with_label_smoothing(1.2), "label_smoothing"),
            (new().with_label_smoothing(-0.1), "label_smoothing"),
            (new().with_label_smoothing(f64::NAN), "label_smoothing"),
            (new().with_softcap(0.0), "softcap"),
            (new().with_softcap(-1.0), "softcap"),
            (new().with_z_loss(f64::INFINITY), "z_loss"),
            (new().with_logit_scale(f64::NAN), "logit_scale"),
            (new().with_normalizer(0.0), "normalizer"),
            (new().with_normalizer(2.0).with_reduction(Reduction::Sum), "normalizer"),
        ] {
            match run(&op) {
                Error::InvalidInput { what, .. } => assert_eq!(what, option),
                other => panic!("{option}: {other}"),
            }
        }
        let error = run(&new().with_class_weights([1.0f32; 4]));
        assert!(matches!(error, Error::ShapeMismatch { what: "class_weights", .. }), "{error}");
    }
}

#[test]
fn weights_of_more_classes_than_memory_holds() {
    let weighted = CrossEntropy::new().with_inverse_frequency_weights(&[0i64], usize::MAX);
    assert!(matches!(weighted, Err(Error::OutOfMemory { .. })), "{weighted:?}");
}
