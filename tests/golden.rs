//! PyTorch's answers: the reference against them, and every device against the reference on the
//! same inputs.

mod common;

use common::cases::Case;
use common::golden::{Golden, assert_close, cases};
use common::{Subject, gpu_subjects, suite};
use surprisal::{Array, CrossEntropy, CrossEntropyInput, Loss, Matrix, Reduction, reference};

/// Whether this version has every option of the case.
fn is_supported(golden: &Golden) -> bool {
    let off = |name: &str, neutral: f64| {
        golden.options[name].as_f64().is_none_or(|value| value == neutral)
    };
    !golden.inputs.contains(&"class_weights".to_owned())
        && off("label_smoothing", 0.0)
        && off("z_loss", 0.0)
        && off("softcap", f64::NAN)
        && off("logit_scale", 1.0)
}

fn op(golden: &Golden) -> CrossEntropy {
    let reduction = match golden.options["reduction"].as_str() {
        Some("none") => Reduction::None,
        Some("sum") => Reduction::Sum,
        Some("mean") => Reduction::Mean,
        other => panic!("{}: reduction {other:?}", golden.name),
    };
    CrossEntropy::new()
        .with_reduction(reduction)
        .with_ignore_index(golden.options["ignore_index"].as_i64())
        .with_gradient()
}

fn case(golden: &Golden) -> Case {
    let shape = golden.shape("logits");
    Case {
        name: golden.name.clone(),
        rows: shape[0],
        classes: shape[1],
        logits: golden.f32("logits"),
        targets: golden.i64("targets"),
    }
}

#[test]
fn cross_entropy() {
    let golden: Vec<_> = cases("cross_entropy").into_iter().filter(is_supported).collect();
    assert_eq!(golden.len(), 37, "cases of the options that exist");
    let mut subjects = gpu_subjects();
    subjects.extend([Subject::cpu(), Subject::reference()]);
    for golden in &golden {
        let (case, op) = (case(golden), op(golden));
        let input = CrossEntropyInput::new(case.matrix(), &case.targets);
        let output = reference::cross_entropy(&op, &input).expect("the case is sound");
        let loss = match &output.loss {
            Loss::Rows(rows) => rows.to_f64(),
            loss => vec![loss.reduced().expect("reduced")],
        };
        assert_close(&format!("{} loss", golden.name), &loss, &golden.f64("loss"));
        let dlogits = output.dlogits.as_ref().and_then(Array::as_f64).expect("asked for");
        assert_close(&format!("{} dlogits", golden.name), dlogits, &golden.f64("dlogits"));
        let kept = |lse: Vec<f64>| -> Vec<f64> {
            let rows = case.targets.iter().zip(lse);
            rows.filter(|(target, _)| op.ignore_index() != Some(**target)).map(|(_, l)| l).collect()
        };
        let name = format!("{} lse", golden.name);
        assert_close(&name, &kept(output.lse.to_f64()), &kept(golden.f64("lse")));

        for subject in &subjects {
            suite::cross_entropy(subject, &case, op.reduction()).expect("within bounds");
        }
    }
}

#[test]
fn softmax_and_log_softmax() {
    for name in ["softmax", "log_softmax"] {
        let golden = cases(name);
        assert_eq!(golden.len(), 3);
        for golden in golden {
            let shape = golden.shape("logits");
            let matrix = |values| Matrix::new(values, shape[0], shape[1]).expect("its shape");
            let (logits, dout) = (golden.f32("logits"), golden.f32("dout"));
            let (out, dout) = (golden.f64("out"), matrix(&dout));
            let (got, dlogits) = if name == "softmax" {
                let got = reference::softmax(matrix(&logits));
                let out = Matrix::new(&out, shape[0], shape[1]).expect("its shape");
                (got, reference::softmax_backward(out, dout))
            } else {
                let got = reference::log_softmax(matrix(&logits));
                let out = Matrix::new(&out, shape[0], shape[1]).expect("its shape");
                (got, reference::log_softmax_backward(out, dout))
            };
            assert_close(&format!("{} out", golden.name), &got, &out);
            let name = format!("{} dlogits", golden.name);
            assert_close(&name, &dlogits, &golden.f64("dlogits"));
        }
    }
}

#[test]
fn digits() {
    // 1797 handwritten digits, scored by a trained linear classifier.
    static FILE: &[u8] = include_bytes!("data/digits.safetensors");
    let file = safetensors::SafeTensors::deserialize(FILE).expect("the file is sound");
    let f64s = |name: &str| -> Vec<f64> {
        let tensor = file.tensor(name).expect("it is there");
        tensor.data().chunks_exact(8).map(bytemuck::pod_read_unaligned).collect()
    };
    let logits = file.tensor("logits").expect("it is there");
    let logits: Vec<f32> =
        logits.data().chunks_exact(4).map(bytemuck::pod_read_unaligned).collect();
    let labels = file.tensor("labels").expect("it is there");
    let targets: Vec<i64> =
        labels.data().chunks_exact(8).map(bytemuck::pod_read_unaligned).collect();
    let case = Case { name: "digits".to_owned(), rows: 1797, classes: 10, logits, targets };

    let op = CrossEntropy::new().with_gradient();
    let input = CrossEntropyInput::new(case.matrix(), &case.targets);
    let output = reference::cross_entropy(&op, &input).expect("the case is sound");
    assert!((output.loss.reduced().expect("a mean") - 0.406_095_857_169_673_4).abs() < 1e-14);
    let dlogits = output.dlogits.as_ref().and_then(Array::as_f64).expect("asked for");
    assert_close("digits dlogits", dlogits, &f64s("dlogits_mean"));
    let rows = reference::cross_entropy(&op.with_reduction(Reduction::None), &input);
    let rows = rows.expect("the case is sound").loss.rows().map(Array::to_f64);
    assert_close("digits row losses", &rows.expect("by rows"), &f64s("row_loss"));

    let mut subjects = gpu_subjects();
    subjects.extend([Subject::cpu(), Subject::reference()]);
    for subject in &subjects {
        suite::check(subject, &case).expect("within bounds");
    }
}
