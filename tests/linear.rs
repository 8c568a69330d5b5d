//! Linear layers with cross-entropy behind them: the definition against stored logits and finite
//! differences, every device against the definition.

mod common;

use common::linear::{Layer, check, check_output, in_blocks, in_windows};
use common::reference;
use common::{Subject, cpu_subjects};
use half::f16;
use surprisal::{
    Array, CrossEntropy, CrossEntropyInput, Device, Dtype, Error, LinearCrossEntropy,
    LinearCrossEntropyInput, LinearCrossEntropyOutput, Loss, Matrix, Reduction, Upstream,
};

fn weights(classes: usize) -> Vec<f64> {
    (0..classes).map(|j| if j % 5 == 3 { 0.0 } else { 0.25 + (j % 7) as f64 / 4.0 }).collect()
}

/// Every option of cross-entropy, alone and together.
fn options(classes: usize) -> Vec<CrossEntropy> {
    let new = CrossEntropy::new;
    vec![
        new(),
        new().with_reduction(Reduction::Sum).with_unit(surprisal::Unit::Bits),
        new().with_reduction(Reduction::None).with_metrics(),
        new().with_class_weights(weights(classes)),
        new().with_label_smoothing(0.1),
        new().with_z_loss(1e-2),
        new().with_logit_scale(0.5),
        new().with_logit_scale(-1.5).with_label_smoothing(0.2).with_metrics(),
        new().with_softcap(3.0),
        new().with_normalizer(17.5),
        new()
            .with_class_weights(weights(classes))
            .with_label_smoothing(0.2)
            .with_z_loss(1e-2)
            .with_softcap(5.0)
            .with_logit_scale(1.5)
            .with_metrics(),
    ]
}

fn all_options(subjects: &[Subject], layers: &[Layer]) {
    for layer in layers {
        for loss in options(layer.classes) {
            let op = LinearCrossEntropy::new(loss);
            for subject in subjects {
                check(subject, layer, &op.clone().with_gradient()).expect("within bounds");
                check(subject, layer, &op).expect("within bounds");
            }
        }
    }
}

/// One of each, whole tiles, odd sizes across them, many classes, many rows.
fn layers() -> Vec<Layer> {
    let shapes = [(1, 1, 1), (2, 3, 2), (64, 32, 128), (37, 19, 131), (5, 70, 1030), (140, 9, 33)];
    shapes.map(|(rows, width, classes)| Layer::new(rows, width, classes, Dtype::F32)).to_vec()
}

#[test]
fn cpu() {
    all_options(&cpu_subjects(), &layers());
}

#[test]
fn sixteen_bits_and_no_bias() {
    for dtype in [Dtype::F16, Dtype::Bf16] {
        // More classes than are widened at a time.
        let layer = Layer::new(23, 17, 1100, dtype);
        all_options(&[Subject::cpu()], &[layer.clone(), layer.without_bias()]);
    }
}

#[test]
fn each_gradient_by_itself() {
    let layer = Layer::new(12, 8, 20, Dtype::F32);
    let op = LinearCrossEntropy::new(CrossEntropy::new());
    for subject in cpu_subjects() {
        for op in [
            op.clone().with_hidden_gradient(),
            op.clone().with_weight_gradient(),
            op.clone().with_bias_gradient(),
        ] {
            check(&subject, &layer, &op).expect("within bounds");
        }
    }
}

#[test]
fn chunks_of_any_size() {
    let layer = Layer::new(50, 16, 40, Dtype::F32);
    let op = LinearCrossEntropy::new(CrossEntropy::new().with_metrics()).with_gradient();
    let row = 4 * (40 + 2 * 16);
    for rows in [1, 2, 3, 7, 49, 50, 1000] {
        let op = op.clone().with_scratch_bytes(row * rows);
        check(&Subject::cpu(), &layer, &op).expect("within bounds");
    }
}

/// The bits of all that is returned.
fn bits(output: &LinearCrossEntropyOutput) -> Vec<Vec<u8>> {
    let arrays = [&output.dhidden, &output.dweight, &output.dbias].into_iter().flatten();
    let arrays = arrays.chain([&output.lse]).map(|array| array.as_bytes().to_vec());
    arrays.chain([output.loss.reduced().map_or(Vec::new(), |x| x.to_le_bytes().to_vec())]).collect()
}

#[test]
fn threads_do_not_change_a_bit() {
    let op = LinearCrossEntropy::new(CrossEntropy::new()).with_gradient();
    for (rows, width, classes) in [(70, 33, 3001), (600, 129, 257)] {
        let layer = Layer::new(rows, width, classes, Dtype::F32);
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            let input = layer.input(Reduction::Mean);
            pool.expect("a pool").install(|| bits(&Device::cpu().run(&op, input).expect("sound")))
        };
        let one = run(1);
        for threads in [2, 3, 8] {
            assert!(run(threads) == one, "{rows} x {width} x {classes}: {threads} threads");
        }
    }
}

#[test]
fn the_definition_is_cross_entropy_of_the_logits() {
    let layer = Layer::new(6, 4, 5, Dtype::F32);
    is_cross_entropy_of_the_logits(&layer);
    is_cross_entropy_of_the_logits(&layer.with_probs(Dtype::F32));
}

fn is_cross_entropy_of_the_logits(layer: &Layer) {
    let (hidden, weight) = (layer.hidden.to_f64(), layer.weight.to_f64());
    let bias = layer.bias.as_ref().expect("it has one").to_f64();
    let mut logits = vec![0.0; 30];
    for (i, logit) in logits.iter_mut().enumerate() {
        let (x, w) = (&hidden[i / 5 * 4..][..4], &weight[i % 5 * 4..][..4]);
        *logit = x.iter().zip(w).map(|(x, w)| x * w).sum::<f64>() + bias[i % 5];
    }
    for loss in options(5) {
        let input = layer.input(loss.reduction());
        let op = LinearCrossEntropy::new(loss.clone());
        let got = reference::linear_cross_entropy(&op, &input).expect("sound");
        let matrix = Matrix::new(&logits, 6, 5).expect("its shape");
        let mut of_logits =
            CrossEntropyInput::new(matrix, input.targets).with_upstream(input.upstream);
        of_logits.mask = input.mask;
        let want = reference::cross_entropy(&loss, &of_logits).expect("sound");
        assert_eq!(format!("{:?}", got.loss), format!("{:?}", want.loss));
        assert_eq!((got.metrics, got.total_weight), (want.metrics, want.total_weight));
    }
}

#[test]
fn gradients_by_finite_differences() {
    let layer = Layer::new(5, 3, 4, Dtype::F32);
    are_finite_differences(&layer);
    are_finite_differences(&layer.with_probs(Dtype::F64));
}

fn are_finite_differences(layer: &Layer) {
    let whole = |array: &Array| array.to_f64();
    let bias = layer.bias.as_ref().map(whole).expect("it has one");
    // What is ignored is NaN, and stays out of everything.
    let values = [whole(&layer.hidden), whole(&layer.weight), bias];
    for loss in options(4).into_iter().filter(|loss| loss.reduction() != Reduction::None) {
        let op = LinearCrossEntropy::new(loss).with_gradient();
        let output = |values: &[Vec<f64>; 3]| {
            let hidden = Matrix::new(&values[0], 5, 3).expect("its shape");
            let weight = Matrix::new(&values[1], 4, 3).expect("its shape");
            let of_layer = layer.input(Reduction::Mean);
            let mut input = LinearCrossEntropyInput::new(hidden, weight, of_layer.targets)
                .with_bias(surprisal::Values::from(&values[2]))
                .with_upstream(Upstream::Scalar(0.75));
            input.mask = of_layer.mask;
            reference::linear_cross_entropy(&op, &input).expect("sound")
        };
        let gradients = output(&values);
        let gradients = [&gradients.dhidden, &gradients.dweight, &gradients.dbias];
        for (which, gradient) in gradients.into_iter().enumerate() {
            let gradient = gradient.as_ref().expect("asked for").to_f64();
            for (i, got) in gradient.into_iter().enumerate() {
                let loss = |step: f64| {
                    let mut moved = values.clone();
                    moved[which][i] += step;
                    output(&moved).loss.reduced().expect("reduced")
                };
                let want = 0.75 * (loss(1e-5) - loss(-1e-5)) / 2e-5;
                assert!((got - want).abs() < 1e-8, "{op:?} {which} [{i}]: {got}, want {want}");
            }
        }
    }
}

#[test]
fn special_values() {
    for device in common::devices() {
        let weight = [1.0f32, 0.0, 0.0, 1.0, 0.0, 0.0];
        let op = LinearCrossEntropy::new(CrossEntropy::new().with_reduction(Reduction::None));
        let run = |hidden: &[f32; 4], bias: &[f32; 3], targets: &[i64; 2]| {
            let hidden = Matrix::new(hidden, 2, 2).expect("its shape");
            let weight = Matrix::new(&weight, 3, 2).expect("its shape");
            let input = LinearCrossEntropyInput::new(hidden, weight, targets)
                .with_bias(surprisal::Values::from(bias));
            device.run(&op.clone().with_gradient(), input).expect("sound")
        };
        // A class that a bias of -inf leaves out.
        let output = run(&[1.0, 1.0, 2.0, 0.5], &[0.0, 0.0, f32::NEG_INFINITY], &[0, 1]);
        let Loss::Each(losses) = &output.loss else { panic!("by rows") };
        assert!((losses.to_f64()[0] - std::f64::consts::LN_2).abs() < 1e-6, "{}", device.info());
        let dbias = output.dbias.expect("asked for").to_f64();
        assert_eq!(dbias[2], 0.0);
        // A NaN is the loss of its row alone, and everybody's gradient of the weights.
        let output = run(&[f32::NAN, 1.0, 2.0, 0.5], &[0.0; 3], &[0, 1]);
        let Loss::Each(losses) = &output.loss else { panic!("by rows") };
        let (losses, dhidden) = (losses.to_f64(), output.dhidden.expect("asked for").to_f64());
        assert!(losses[0].is_nan() && losses[1].is_finite());
        assert!(
            dhidden[..2].iter().all(|x| x.is_nan()) && dhidden[2..].iter().all(|x| x.is_finite())
        );
        assert!(output.dweight.expect("asked for").to_f64().iter().all(|x| x.is_nan()));
        // Unless its row is ignored.
        let output = run(&[f32::NAN, 1.0, 2.0, 0.5], &[0.0; 3], &[-100, 1]);
        assert_eq!(output.dhidden.expect("asked for").to_f64()[..2], [0.0, 0.0]);
        assert!(output.dweight.expect("asked for").to_f64().iter().all(|x| x.is_finite()));
    }
}

#[test]
fn empty_batches() {
    for device in common::devices() {
        for (targets, hidden) in [(&[][..], &[][..]), (&[-100i64, -100], &[0.5f32; 6][..])] {
            let hidden = Matrix::new(hidden, targets.len(), 3).expect("its shape");
            let weight = Matrix::new(&[1.0f32; 12], 4, 3).expect("its shape");
            let op = LinearCrossEntropy::new(CrossEntropy::new()).with_gradient();
            let input = LinearCrossEntropyInput::new(hidden, weight, targets);
            let output = device.run(&op, input).expect("sound");
            assert!(output.loss.reduced().expect("a mean").is_nan());
            assert_eq!(output.kept_rows, 0);
            assert_eq!(output.dweight.expect("asked for").to_f64(), [0.0; 12]);
            assert_eq!(output.dhidden.expect("asked for").to_f64(), vec![0.0; targets.len() * 3]);
            assert!(output.dbias.is_none());
        }
    }
}

#[test]
fn what_is_wrong_is_named() {
    let (three, two) = ([0.0f32; 6], [0.0f32; 4]);
    let hidden = Matrix::new(&three, 2, 3).expect("its shape");
    let weight = Matrix::new(&[0.0f32; 12], 4, 3).expect("its shape");
    let input = LinearCrossEntropyInput::new(hidden, weight, &[0i64, 3]);
    let new = || LinearCrossEntropy::new(CrossEntropy::new());
    let narrow = Matrix::new(&two, 2, 2).expect("its shape");
    let no_classes = Matrix::new(&[] as &[f32], 0, 3).expect("its shape");
    let wrong = [
        (new(), LinearCrossEntropyInput::new(hidden, narrow, &[0i64, 1]), "weight"),
        (new(), LinearCrossEntropyInput::new(hidden, no_classes, &[0i64, 1]), "weight"),
        (new(), input.with_bias(surprisal::Values::from(&[0.0f32; 3])), "bias"),
        (new(), LinearCrossEntropyInput::new(hidden, weight, &[0i64; 3]), "targets"),
        (new(), input.with_upstream(Upstream::Each((&[1.0f32; 2]).into())), "upstream"),
        (new().with_scratch_bytes(15), input, "scratch_bytes"),
        (LinearCrossEntropy::new(CrossEntropy::new().with_gradient()), input, "gradient"),
        (
            LinearCrossEntropy::new(CrossEntropy::new().with_form(surprisal::InputForm::Probs)),
            input,
            "form",
        ),
        (LinearCrossEntropy::new(CrossEntropy::new().with_softcap(0.0)), input, "softcap"),
    ];
    for (op, input, name) in wrong {
        let error = Device::cpu().run(&op, input).expect_err("it is wrong");
        let named = match error {
            Error::InvalidInput { what, .. } | Error::ShapeMismatch { what, .. } => what,
            other => panic!("{name}: {other}"),
        };
        assert_eq!(named, name);
    }
    let far = LinearCrossEntropyInput::new(hidden, weight, &[0i64, 4]);
    let error = Device::cpu().run(&new(), far).expect_err("it is wrong");
    assert_eq!(error, Error::TargetOutOfRange { row: 1, value: 4, classes: 4 });
}

#[test]
fn sixteen_bit_gradients_are_rounded_once() {
    // Each row adds less than half of what f16 can tell near the sum.
    let rows = 5000;
    let (hidden, targets) = (vec![f16::from_f32(1.0); rows], vec![0i64; rows]);
    let weight = [f16::ZERO; 2];
    let input = LinearCrossEntropyInput::new(
        Matrix::new(&hidden, rows, 1).expect("its shape"),
        Matrix::new(&weight, 2, 1).expect("its shape"),
        &targets,
    );
    let loss = CrossEntropy::new().with_reduction(Reduction::Sum);
    // A chunk for each row.
    let scratch = 4 * (2 + 2) + 4 * (2 + 2);
    let op = LinearCrossEntropy::new(loss).with_weight_gradient().with_scratch_bytes(scratch);
    let output = Device::cpu().run(&op, input).expect("sound");
    assert_eq!(output.dweight.expect("asked for").to_f64(), [-2500.0, 2500.0]);
}

#[test]
fn windows_of_any_size() {
    let rows = 50;
    let layer = Layer::new(rows, 16, 40, Dtype::F16);
    let with_normalizer = CrossEntropy::new().with_normalizer(17.5);
    for loss in [CrossEntropy::new().with_metrics(), with_normalizer] {
        for reduction in [Reduction::Mean, Reduction::Sum, Reduction::None] {
            if loss.normalizer().is_some() && reduction != Reduction::Mean {
                continue;
            }
            let op = LinearCrossEntropy::new(loss.clone().with_reduction(reduction));
            for device in common::devices() {
                let whole = device.run(&op.clone().with_gradient(), layer.input(reduction));
                for window in [1, 7, 49, 50] {
                    let cut = in_windows(&device, &op.clone().with_gradient(), &layer, window);
                    expect_alike(whole.as_ref().expect("sound"), &cut);
                }
            }
        }
    }
}

fn expect_alike(whole: &LinearCrossEntropyOutput, cut: &LinearCrossEntropyOutput) {
    let near = |a: &[f64], b: &[f64]| {
        // Half a unit of f16, and what sums in another order cost.
        let largest = a.iter().fold(0.0f64, |max, x| max.max(x.abs()));
        a.len() == b.len()
            && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-3 * a.abs() + 1e-5 * largest)
    };
    let arrays = |o: &LinearCrossEntropyOutput| {
        let gradients =
            [&o.dhidden, &o.dweight, &o.dbias].map(|a| a.as_ref().expect("asked for").to_f64());
        let each = o.loss.each().map_or(vec![o.loss.reduced().unwrap_or(0.0)], Array::to_f64);
        gradients.into_iter().chain([each, o.lse.to_f64()]).collect::<Vec<_>>()
    };
    for (which, (whole, cut)) in arrays(whole).iter().zip(arrays(cut)).enumerate() {
        assert!(near(whole, &cut), "{which}: {whole:?}, in windows {cut:?}");
    }
    assert_eq!((whole.kept_rows, whole.total_weight), (cut.kept_rows, cut.total_weight));
    if let (Some(whole), Some(cut)) = (&whole.metrics, &cut.metrics) {
        assert_eq!(whole.correct, cut.correct);
        assert!((whole.perplexity - cut.perplexity).abs() <= 1e-5 * whole.perplexity);
    }
    assert_eq!(whole.metrics.is_some(), cut.metrics.is_some());
}

#[test]
fn windows_that_do_not_add_up() {
    let layer = Layer::new(4, 3, 5, Dtype::F32);
    let (device, op) = (Device::cpu(), LinearCrossEntropy::new(CrossEntropy::new()));
    let input = layer.input(Reduction::Mean);
    let stream =
        || device.stream_linear(&op, input.weight, input.bias, input.targets).expect("sound");
    let error = stream().finish().expect_err("no row came");
    assert!(matches!(error, Error::ShapeMismatch { what: "batch", .. }), "{error}");
    let five = [0.0f32; 15];
    let five = Matrix::new(&five, 5, 3).expect("its shape");
    let error = stream().push(five, Upstream::default()).expect_err("too many");
    assert!(matches!(error, Error::ShapeMismatch { what: "window", .. }), "{error}");
    let empty =
        device.stream_linear(&op.clone().with_weight_gradient(), input.weight, None, &[] as &[i64]);
    let total = empty.expect("sound").finish().expect("nothing is missing");
    assert!(total.total.loss.is_some_and(f64::is_nan));
    assert_eq!(total.dweight.expect("asked for").to_f64(), [0.0; 15]);
}

/// The loss with its gradients, and the loss alone.
fn check_blocks(subject: &Subject, layer: &Layer, loss: &CrossEntropy, cut: (usize, usize)) {
    let op = LinearCrossEntropy::new(loss.clone());
    for op in [op.clone().with_gradient(), op] {
        let got = in_blocks(&subject.device, &op, layer, cut);
        check_output(subject, layer, &op, &got).expect("within bounds");
    }
}

#[test]
fn blocks_of_classes() {
    for layer in layers() {
        for loss in options(layer.classes) {
            for subject in cpu_subjects() {
                check_blocks(&subject, &layer, &loss, (layer.rows, layer.classes.div_ceil(3)));
            }
            let subject = Subject::cpu();
            check_blocks(&subject, &layer, &loss, (layer.rows.div_ceil(2), 70));
        }
    }
    let layer = Layer::new(9, 6, 37, Dtype::F32);
    for loss in options(layer.classes) {
        for cut in [(9, 1), (1, 16), (4, 36), (9, 37)] {
            check_blocks(&Subject::cpu(), &layer, &loss, cut);
        }
    }
}

#[test]
fn blocks_of_sixteen_bits_and_without_a_bias() {
    for dtype in [Dtype::F16, Dtype::Bf16] {
        let layer = Layer::new(23, 17, 300, dtype);
        for layer in [layer.clone(), layer.without_bias()] {
            for loss in options(layer.classes) {
                check_blocks(&Subject::cpu(), &layer, &loss, (10, 77));
            }
        }
    }
}

#[test]
fn a_block_whose_logits_are_made_in_parts() {
    let layer = Layer::new(50, 16, 40, Dtype::F32);
    let op = LinearCrossEntropy::new(CrossEntropy::new().with_metrics()).with_gradient();
    // Of 43 kept rows: one class at a time, then three, then all.
    for classes in [1, 3, 1000] {
        let op = op.clone().with_scratch_bytes(4 * 43 * classes);
        let got = in_blocks(&Device::cpu(), &op, &layer, (50, 40));
        check_output(&Subject::cpu(), &layer, &op, &got).expect("within bounds");
    }
    let op = op.with_scratch_bytes(4 * 43 - 1);
    let (device, input) = (Device::cpu(), layer.input(Reduction::Mean));
    let mut stream = device.stream_classes(&op, 40, input.targets).expect("sound");
    let mut rows = stream.window(input.hidden, input.upstream).expect("sound");
    let error = rows.push(input.weight, input.bias).expect_err("no room for a class");
    assert!(matches!(error, Error::InvalidInput { what: "scratch_bytes", .. }), "{error}");
}

#[test]
fn the_definition_in_blocks_is_the_definition() {
    let layer = Layer::new(11, 5, 20, Dtype::F32);
    for loss in options(20) {
        let op = LinearCrossEntropy::new(loss).with_gradient();
        let whole = Device::reference().run(&op, layer.input(op.loss().reduction()));
        let cut = in_blocks(&Device::reference(), &op, &layer, (4, 7));
        expect_alike(&whole.expect("sound"), &cut);
    }
}

#[test]
fn special_values_in_blocks() {
    let weight = [1.0f32, 0.0, 0.0, 1.0, 0.0, 0.0];
    let smoothed = CrossEntropy::new().with_label_smoothing(0.3);
    for loss in [CrossEntropy::new(), smoothed.with_class_weights([1.0, 1.0, 0.0])] {
        let op = LinearCrossEntropy::new(loss.with_reduction(Reduction::None)).with_gradient();
        // A class that a bias of -inf leaves out, a block by itself; a NaN, and one that is ignored.
        let cases = [
            ([1.0f32, 1.0, 2.0, 0.5], f32::NEG_INFINITY, [0i64, 1]),
            ([f32::NAN, 1.0, 2.0, 0.5], 0.0, [0, 1]),
            ([f32::NAN, 1.0, 2.0, 0.5], 0.0, [-100, 1]),
            ([f32::INFINITY, 1.0, 2.0, 0.5], 0.0, [0, 1]),
        ];
        for (hidden, last_bias, targets) in cases {
            let bias = [0.0, 0.0, last_bias];
            let layer = Layer {
                rows: 2,
                width: 2,
                classes: 3,
                hidden: Array::F32(hidden.to_vec()),
                weight: Array::F32(weight.to_vec()),
                bias: Some(Array::F32(bias.to_vec())),
                targets: targets.to_vec(),
                probs: None,
                mask: None,
                dloss: vec![1.0, -2.0],
            };
            let whole = Device::cpu().run(&op, layer.input(Reduction::None)).expect("sound");
            for block in [1, 2, 3] {
                let cut = in_blocks(&Device::cpu(), &op, &layer, (2, block));
                let numbers = |output: &LinearCrossEntropyOutput| {
                    let loss = output.loss.each().map(Array::to_f64);
                    let gradients = [&output.dhidden, &output.dweight, &output.dbias];
                    let gradients = gradients.map(|array| array.as_ref().map(Array::to_f64));
                    [loss].into_iter().chain(gradients).flatten().flatten().collect::<Vec<_>>()
                };
                let same = |(a, b): (&f64, &f64)| {
                    a == b || a.is_nan() && b.is_nan() || (a - b).abs() < 1e-6
                };
                let (whole, cut) = (numbers(&whole), numbers(&cut));
                assert!(whole.iter().zip(&cut).all(same), "{layer:?}: {whole:?}, {cut:?}");
            }
        }
    }
}

#[test]
fn blocks_that_do_not_add_up() {
    let layer = Layer::new(4, 3, 5, Dtype::F32);
    let (device, op) = (Device::cpu(), LinearCrossEntropy::new(CrossEntropy::new()));
    let input = layer.input(Reduction::Mean);
    let mismatch = |error: Error| match error {
        Error::ShapeMismatch { what, .. } | Error::InvalidInput { what, .. } => what,
        other => panic!("{other}"),
    };
    let stream = |op: &LinearCrossEntropy| device.stream_classes(op, 5, input.targets);
    let wrong = device.stream_classes(&op, 0, &[] as &[i64]).expect_err("no classes");
    assert_eq!(mismatch(wrong), "classes");
    let far = device.stream_classes(&op, 2, &[0i64, 2]).expect_err("a target too far");
    assert_eq!(far, Error::TargetOutOfRange { row: 1, value: 2, classes: 2 });
    assert_eq!(mismatch(stream(&op).expect("sound").finish().expect_err("no rows")), "batch");

    let mut rows_of = stream(&op).expect("sound");
    let mut window = rows_of.window(input.hidden, input.upstream).expect("sound");
    let narrow = Matrix::new(&[0.0f32; 2], 1, 2).expect("its shape");
    assert_eq!(mismatch(window.push(narrow, None).expect_err("narrow")), "weight");
    let short = surprisal::Values::from(&[0.0f32]);
    assert_eq!(mismatch(window.push(input.weight, Some(short)).expect_err("short")), "bias");
    window.push(input.weight, None).expect("all classes");
    assert_eq!(mismatch(window.push(input.weight, None).expect_err("over")), "weight");
    window.finish().expect("whole");
    let error = rows_of.window(input.hidden, input.upstream).expect_err("too many rows");
    assert_eq!(mismatch(error), "window");

    let mut rows_of = stream(&op.with_gradient()).expect("sound");
    let mut window = rows_of.window(input.hidden, input.upstream).expect("sound");
    assert_eq!(window.passes(), 2);
    window.push(input.weight, None).expect("the first time");
    assert_eq!(mismatch(window.finish().expect_err("once")), "layer");
}
