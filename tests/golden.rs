//! PyTorch's answers: the reference against them, and every device against the reference on the
//! same inputs.

mod common;

use common::cases::{Case, Storage};
use common::golden::{Golden, assert_close, cases};
use common::losses::{self, Divergence};
use common::reference;
use common::{Subject, cpu_subjects, gpu_subjects, suite};
use surprisal::{
    Array, BinaryCrossEntropy, CrossEntropy, CrossEntropyInput, DivergenceInput, ElementwiseInput,
    Focal, InputForm, JsDivergence, KlDivergence, Loss, Matrix, Reduction, Upstream,
};

fn reduction(golden: &Golden) -> Reduction {
    match golden.options["reduction"].as_str() {
        Some("none") => Reduction::None,
        Some("sum") => Reduction::Sum,
        Some("mean") => Reduction::Mean,
        other => panic!("{}: reduction {other:?}", golden.name),
    }
}

fn all_subjects() -> Vec<Subject> {
    let mut subjects = gpu_subjects();
    subjects.extend(cpu_subjects());
    subjects.push(Subject::reference());
    subjects
}

fn assert_loss(golden: &Golden, loss: &Loss) {
    let loss = loss.each().map_or_else(|| vec![loss.reduced().expect("reduced")], Array::to_f64);
    assert_close(&format!("{} loss", golden.name), &loss, &golden.f64("loss"));
}

fn assert_gradient(golden: &Golden, name: &str, gradient: Option<&Array>) {
    let gradient = gradient.expect("asked for").to_f64();
    assert_close(&format!("{} {name}", golden.name), &gradient, &golden.f64(name));
}

fn op(golden: &Golden) -> CrossEntropy {
    let reduction = reduction(golden);
    let number = |name: &str| golden.options[name].as_f64();
    let mut op = CrossEntropy::new()
        .with_reduction(reduction)
        .with_ignore_index(golden.options["ignore_index"].as_i64().unwrap_or(-100))
        .with_label_smoothing(number("label_smoothing").unwrap_or(0.0))
        .with_z_loss(number("z_loss").unwrap_or(0.0))
        .with_softcap(number("softcap"))
        .with_logit_scale(number("logit_scale").unwrap_or(1.0))
        .with_gradient();
    if golden.inputs.contains(&"class_weights".to_owned()) {
        op = op.with_class_weights(golden.f32("class_weights"));
    }
    op
}

fn case(golden: &Golden) -> Case {
    Case { targets: golden.i64("targets"), ..case_of(golden, "logits") }
}

/// A case without index targets.
fn case_of(golden: &Golden, input: &str) -> Case {
    let shape = golden.shape(input);
    Case {
        name: golden.name.clone(),
        rows: shape[0],
        classes: shape[1],
        logits: golden.f32(input),
        targets: vec![0; shape[0]],
        storage: Storage::default(),
    }
}

#[test]
fn cross_entropy() {
    let golden = cases("cross_entropy");
    assert_eq!(golden.len(), 79);
    let mut subjects = gpu_subjects();
    subjects.extend(cpu_subjects());
    subjects.push(Subject::reference());
    for golden in &golden {
        let (case, op) = (case(golden), op(golden));
        let dloss = golden.inputs.contains(&"dloss".to_owned()).then(|| golden.f32("dloss"));
        let upstream = dloss.as_ref().map_or(Upstream::default(), |d| Upstream::Each(d.into()));
        let input = CrossEntropyInput::new(case.matrix(), &case.targets).with_upstream(upstream);
        let output = reference::cross_entropy(&op, &input).expect("the case is sound");
        let loss = match &output.loss {
            Loss::Each(rows) => rows.to_f64(),
            loss => vec![loss.reduced().expect("reduced")],
        };
        assert_close(&format!("{} loss", golden.name), &loss, &golden.f64("loss"));
        let dlogits = output.dlogits.as_ref().and_then(Array::as_f64).expect("asked for");
        assert_close(&format!("{} dlogits", golden.name), dlogits, &golden.f64("dlogits"));
        let kept = |lse: Vec<f64>| -> Vec<f64> {
            let rows = case.targets.iter().zip(lse);
            rows.filter(|(target, _)| op.ignore_index() != Some(**target)).map(|(_, l)| l).collect()
        };
        if golden.expected.contains(&"lse".to_owned()) {
            let name = format!("{} lse", golden.name);
            assert_close(&name, &kept(output.lse.to_f64()), &kept(golden.f64("lse")));
        }
        for subject in &subjects {
            suite::with_options(subject, &case, &op).expect("within bounds");
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
                (got, reference::softmax_backward(out, dout).expect("same shapes"))
            } else {
                let got = reference::log_softmax(matrix(&logits));
                let out = Matrix::new(&out, shape[0], shape[1]).expect("its shape");
                (got, reference::log_softmax_backward(out, dout).expect("same shapes"))
            };
            assert_close(&format!("{} out", golden.name), &got, &out);
            let name = format!("{} dlogits", golden.name);
            assert_close(&name, &dlogits, &golden.f64("dlogits"));
        }
    }
}

#[test]
fn probability_targets() {
    let golden = cases("cross_entropy_soft");
    assert_eq!(golden.len(), 6);
    let subjects = all_subjects();
    for golden in &golden {
        let (case, q) = (case_of(golden, "logits"), golden.f32("target_probs"));
        let smoothing = golden.options["label_smoothing"].as_f64().expect("a number");
        let op = CrossEntropy::new()
            .with_reduction(reduction(golden))
            .with_label_smoothing(smoothing)
            .with_gradient()
            .with_target_gradient();
        let targets = Matrix::new(&q, case.rows, case.classes).expect("its shape");
        let input = CrossEntropyInput::new(case.matrix(), targets);
        let output = reference::cross_entropy(&op, &input).expect("the case is sound");
        assert_loss(golden, &output.loss);
        assert_gradient(golden, "dlogits", output.dlogits.as_ref());
        assert_gradient(golden, "dtarget_probs", output.dtargets.as_ref());
        for subject in &subjects {
            losses::cross_entropy(subject, &case, Some(&q), &op).expect("within bounds");
        }
    }
}

#[test]
fn focal() {
    let golden = cases("focal");
    assert_eq!(golden.len(), 9);
    let subjects = all_subjects();
    for golden in &golden {
        let case = case(golden);
        let op = Focal::new()
            .with_reduction(reduction(golden))
            .with_gamma(golden.options["gamma"].as_f64().expect("a number"))
            .with_gradient();
        let input = CrossEntropyInput::new(case.matrix(), &case.targets);
        let output = reference::focal(&op, &input).expect("the case is sound");
        assert_loss(golden, &output.loss);
        assert_gradient(golden, "dlogits", output.dlogits.as_ref());
        for subject in &subjects {
            losses::focal(subject, &case, &op).expect("within bounds");
        }
    }
}

#[test]
fn divergences() {
    let golden: Vec<Golden> =
        ["kl_divergence", "js_divergence"].into_iter().flat_map(cases).collect();
    assert_eq!(golden.len(), 9);
    let subjects = all_subjects();
    for golden in &golden {
        let (case, teacher) = (case_of(golden, "logits"), golden.f32("teacher_logits"));
        let matrix = Matrix::new(&teacher, case.rows, case.classes).expect("its shape");
        let input = DivergenceInput::new(matrix, case.matrix());
        let reduction = reduction(golden);
        let (op, output) = if golden.op == "kl_divergence" {
            let temperature = golden.options["temperature"].as_f64().expect("a number");
            let op = KlDivergence::new().with_reduction(reduction).with_temperature(temperature);
            (Divergence::Kl(op), reference::kl_divergence(&op.with_gradient(), &input))
        } else {
            let op = JsDivergence::new().with_reduction(reduction);
            (Divergence::Js(op), reference::js_divergence(&op.with_gradient(), &input))
        };
        let output = output.expect("the case is sound");
        assert_loss(golden, &output.loss);
        assert_gradient(golden, "dlogits", output.dstudent.as_ref());
        for subject in &subjects {
            losses::divergence(subject, &teacher, &case, op).expect("within bounds");
        }
    }
}

#[test]
fn binary_cross_entropy() {
    let golden: Vec<Golden> = ["binary_cross_entropy_with_logits", "binary_cross_entropy"]
        .into_iter()
        .flat_map(cases)
        .collect();
    assert_eq!(golden.len(), 6);
    let subjects = all_subjects();
    for golden in &golden {
        let of_logits = golden.op == "binary_cross_entropy_with_logits";
        let case = case_of(golden, if of_logits { "logits" } else { "probs" });
        let y = golden.f32("targets");
        let mut op = BinaryCrossEntropy::new().with_reduction(reduction(golden));
        let weights = of_logits.then(|| golden.f32("weights"));
        op = if of_logits {
            op.with_pos_weight(golden.f32("pos_weight"))
        } else {
            op.with_form(InputForm::Probs)
        };
        let matrix = |values| Matrix::new(values, case.rows, case.classes).expect("its shape");
        let input = ElementwiseInput::new(case.matrix(), matrix(&y))
            .with_weights(weights.as_ref().map(matrix));
        let output = reference::binary_cross_entropy(&op.clone().with_gradient(), &input)
            .expect("the case is sound");
        assert_loss(golden, &output.loss);
        if of_logits {
            assert_gradient(golden, "dlogits", output.dinput.as_ref());
        } else {
            // PyTorch's bound of p (1 - p) is an f32 1e-12, also in f64.
            let want = golden.f64("dprobs");
            for (got, want) in output.dinput.expect("asked for").to_f64().iter().zip(want) {
                assert!((got - want).abs() <= 1e-8 * want.abs(), "{}: {got}, {want}", golden.name);
            }
        }
        for subject in &subjects {
            losses::elementwise(subject, &case, (&y, weights.as_deref()), &op)
                .expect("within bounds");
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
    let (name, storage) = ("digits".to_owned(), Storage::default());
    let case = Case { name, rows: 1797, classes: 10, logits, targets, storage };

    let op = CrossEntropy::new().with_gradient();
    let input = CrossEntropyInput::new(case.matrix(), &case.targets);
    let output = reference::cross_entropy(&op, &input).expect("the case is sound");
    assert!((output.loss.reduced().expect("a mean") - 0.406_095_857_169_673_4).abs() < 1e-14);
    let dlogits = output.dlogits.as_ref().and_then(Array::as_f64).expect("asked for");
    assert_close("digits dlogits", dlogits, &f64s("dlogits_mean"));
    let rows = reference::cross_entropy(&op.with_reduction(Reduction::None), &input);
    let rows = rows.expect("the case is sound").loss.each().map(Array::to_f64);
    assert_close("digits row losses", &rows.expect("by rows"), &f64s("row_loss"));

    let mut subjects = gpu_subjects();
    subjects.extend(cpu_subjects());
    subjects.push(Subject::reference());
    for subject in &subjects {
        suite::check(subject, &case).expect("within bounds");
    }
}
