//! Linear layers whose targets are probabilities: every device against the definition, with masks, in windows
//! of rows.

mod common;

use common::linear::{Layer, check, check_both, check_output, in_windows, options};
use common::{Subject, cpu_subjects, devices, gpu_subjects};
use surprisal::{
    Array, BatchTargets, CrossEntropy, Dtype, Error, LinearCrossEntropy, LinearCrossEntropyInput,
    LinearCrossEntropyOutput, Loss, Matrix, Reduction, Upstream,
};

/// With a mask, and without.
fn layers(shape: (usize, usize, usize), dtypes: [Dtype; 2]) -> [Layer; 2] {
    let layer = Layer::new(shape.0, shape.1, shape.2, dtypes[0]);
    let whole = layer.clone().with_all_rows();
    assert!(whole.clone().with_probs(dtypes[1]).mask.is_none());
    [layer.with_probs(dtypes[1]), whole.with_probs(dtypes[1])]
}

#[test]
fn cpu() {
    for shape in [(1, 1, 1), (2, 3, 2), (64, 32, 128), (37, 19, 131), (5, 70, 1030), (140, 9, 33)] {
        for layer in layers(shape, [Dtype::F32; 2]) {
            for loss in options(layer.classes) {
                for subject in cpu_subjects() {
                    check_both(&subject, &layer, loss.clone());
                }
            }
        }
    }
}

#[test]
fn every_dtype_of_either() {
    let all = [Dtype::F16, Dtype::Bf16, Dtype::F32, Dtype::F64];
    for dtypes in all.into_iter().flat_map(|first| all.map(|second| [first, second])) {
        for layer in layers((23, 17, 60), dtypes) {
            for subject in subjects() {
                check_both(&subject, &layer, CrossEntropy::new().with_metrics());
                check_both(&subject, &layer.clone().without_bias(), CrossEntropy::new());
            }
        }
    }
}

/// One for the CPU, and one for the GPU if there is one.
fn subjects() -> Vec<Subject> {
    [Subject::cpu()].into_iter().chain(gpu_subjects().into_iter().take(1)).collect()
}

/// The gathered probabilities of a chunk count.
#[test]
fn chunks_of_any_size() {
    let op = LinearCrossEntropy::new(CrossEntropy::new().with_metrics()).with_gradient();
    for layer in layers((50, 16, 40), [Dtype::F32; 2]) {
        let gathered = if layer.mask.is_some() { 40 } else { 0 };
        let row = 4 * (40 + 2 * 16 + gathered);
        for rows in [1, 2, 3, 7, 49, 50, 1000] {
            let op = op.clone().with_scratch_bytes(row * rows);
            check(&Subject::cpu(), &layer, &op).expect("within bounds");
        }
        let op = op.clone().with_scratch_bytes(row - 1);
        let error = Subject::cpu().device.run(&op, layer.input(Reduction::Mean));
        let error = error.expect_err("too little");
        assert!(matches!(error, Error::InvalidInput { what: "scratch_bytes", .. }), "{error}");
    }
}

#[test]
fn windows_that_bring_their_own() {
    for layer in layers((50, 16, 40), [Dtype::F16, Dtype::F32]) {
        for reduction in [Reduction::Mean, Reduction::Sum, Reduction::None] {
            let loss = CrossEntropy::new().with_metrics().with_reduction(reduction);
            let op = LinearCrossEntropy::new(loss).with_gradient();
            for subject in subjects() {
                for window in [1, 7, 49, 50] {
                    let cut = in_windows(&subject.device, &op, &layer, window);
                    check_output(&subject, &layer, &op, &cut).expect("within bounds");
                }
            }
        }
    }
}

/// Everything that is returned, as numbers.
fn numbers(output: &LinearCrossEntropyOutput) -> Vec<Vec<f64>> {
    let arrays = [&output.dhidden, &output.dweight, &output.dbias].into_iter().flatten();
    let each = output.loss.each().map_or(vec![output.loss.reduced().unwrap_or(0.0)], Array::to_f64);
    arrays.map(Array::to_f64).chain([output.lse.to_f64(), each]).collect()
}

#[test]
fn windows_of_probabilities_that_are_there() {
    let layer = Layer::new(20, 5, 9, Dtype::F32).with_probs(Dtype::F32);
    let op = LinearCrossEntropy::new(CrossEntropy::new()).with_gradient();
    let input = layer.input(Reduction::Mean);
    for device in devices() {
        let brought = in_windows(&device, &op, &layer, 6);
        let mut targets = BatchTargets::new(input.targets);
        targets.mask = input.mask;
        let stream = device.stream_linear(&op, input.weight, input.bias, targets);
        let mut stream = stream.expect("sound");
        for first in (0..20).step_by(6) {
            let rows = first..20.min(first + 6);
            let hidden = common::linear::part_of(&layer.hidden, rows.start * 5..rows.end * 5);
            let hidden = Matrix::new(hidden.values(), rows.len(), 5).expect("its shape");
            stream.push(hidden, input.upstream).expect("sound");
        }
        let total = stream.finish().expect("whole");
        assert_eq!(total.total.loss, brought.loss.reduced());
        assert_eq!((total.dweight, total.dbias), (brought.dweight, brought.dbias));
    }
}

#[test]
fn one_hot_probabilities_are_class_indices() {
    let layer = Layer::new(12, 6, 10, Dtype::F32).with_all_rows();
    let mut one_hot = vec![0.0f32; 120];
    for (row, &y) in layer.targets.iter().enumerate() {
        one_hot[row * 10 + usize::try_from(y).expect("a class")] = 1.0;
    }
    let probs = Layer { probs: Some(Array::F32(one_hot)), ..layer.clone() };
    let op = LinearCrossEntropy::new(CrossEntropy::new().with_label_smoothing(0.1).with_metrics());
    let op = op.with_gradient();
    for device in devices() {
        let run = |layer: &Layer| device.run(&op, layer.input(Reduction::Mean)).expect("sound");
        let (of_probs, of_indices) = (run(&probs), run(&layer));
        for (a, b) in numbers(&of_probs).iter().zip(numbers(&of_indices)) {
            assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= 2e-6), "{a:?}, {b:?}");
        }
        assert_eq!(of_probs.metrics.map(|m| m.argmax), of_indices.metrics.map(|m| m.argmax));
    }
}

#[test]
fn nothing_counts() {
    let layer = Layer::new(4, 3, 5, Dtype::F32).with_all_rows().with_probs(Dtype::F32);
    let layer = Layer {
        hidden: Array::F32(vec![f32::NAN; 12]),
        targets: vec![-100; 4],
        mask: Some(vec![false; 4]),
        ..layer
    };
    let op = LinearCrossEntropy::new(CrossEntropy::new().with_metrics()).with_gradient();
    for device in devices() {
        for output in [
            device.run(&op, layer.input(Reduction::Mean)).expect("sound"),
            in_windows(&device, &op, &layer, 3),
        ] {
            assert!(output.loss.reduced().expect("a mean").is_nan());
            assert_eq!((output.kept_rows, output.total_weight), (0, 0.0));
            assert_eq!(output.dweight.expect("asked for").to_f64(), [0.0; 15]);
            assert_eq!(output.dhidden.expect("asked for").to_f64(), [0.0; 12]);
        }
    }
}

#[test]
fn nan_is_its_row_s() {
    let layer = Layer::new(3, 2, 4, Dtype::F32).with_all_rows().with_probs(Dtype::F32);
    let mut probs = layer.probs.as_ref().expect("it has some").to_f64();
    probs[5] = f64::NAN;
    let layer = Layer { probs: Some(Array::F64(probs)), ..layer };
    let op = LinearCrossEntropy::new(CrossEntropy::new().with_reduction(Reduction::None));
    for device in devices() {
        let output = device.run(&op, layer.input(Reduction::None)).expect("sound");
        let Loss::Each(losses) = output.loss else { panic!("by rows") };
        let is_nan: Vec<bool> = losses.to_f64().into_iter().map(f64::is_nan).collect();
        assert_eq!(is_nan, [false, true, false]);
    }
}

fn named(error: Error) -> (&'static str, String) {
    match error {
        Error::InvalidInput { what, reason } => (what, reason),
        Error::ShapeMismatch { what, expected, found } => (what, format!("{expected} {found}")),
        other => panic!("{other}"),
    }
}

#[test]
fn what_is_wrong_is_named() {
    let values = [0.25f32; 12];
    let matrix =
        |rows, columns| Matrix::new(&values[..rows * columns], rows, columns).expect("its shape");
    let (hidden, weight) = (matrix(2, 3), matrix(4, 3));
    let new = || LinearCrossEntropy::new(CrossEntropy::new());
    let of = |probs| LinearCrossEntropyInput::new(hidden, weight, probs);
    let with_ignored = LinearCrossEntropy::new(CrossEntropy::new().with_ignore_index(-100));
    let with_gradient = LinearCrossEntropy::new(CrossEntropy::new().with_target_gradient());
    let bad = [0.25f32, 0.25, 0.25, 0.25, 0.0, 1.0, 2.0, 0.0];
    let bad = Matrix::new(&bad, 2, 4).expect("its shape");
    let wrong = [
        (
            new(),
            of(matrix(2, 3)),
            "targets",
            "[2, 4], for hidden [2, 3] and the weight [4, 3] [2, 3]",
        ),
        (new(), of(matrix(1, 4)), "targets", "[1, 4]"),
        (new(), of(bad), "targets", "2 of row 1, column 2 is no probability"),
        (with_ignored, of(matrix(2, 4)), "ignore_index", "probabilities"),
        (with_gradient, of(matrix(2, 4)), "target_gradient", "not computed"),
    ];
    for (op, input, what, reason) in wrong {
        for device in devices() {
            let error = named(device.run(&op, input).expect_err("it is wrong"));
            assert!(error.0 == what && error.1.contains(reason), "{error:?}");
        }
    }
    for device in devices() {
        device.run(&new(), of(bad).with_mask(&[true, false])).expect("the bad row does not count");
    }
}

#[test]
fn windows_that_do_not_add_up() {
    let values = [0.25f32; 12];
    let matrix =
        |rows, columns| Matrix::new(&values[..rows * columns], rows, columns).expect("its shape");
    let op = LinearCrossEntropy::new(CrossEntropy::new());
    for device in devices() {
        let stream = |op, targets| device.stream_linear(op, matrix(4, 3), None, targets);
        let brought = || stream(&op, BatchTargets::probs_in_windows(3)).expect("sound");
        let upstream = Upstream::default;

        let error = brought().push(matrix(1, 3), upstream()).expect_err("no probabilities");
        assert_eq!(named(error).0, "targets");
        let mut given = stream(&op, BatchTargets::new(matrix(3, 4))).expect("sound");
        let error = given.push_with_probs(matrix(1, 3), matrix(1, 4), upstream());
        assert_eq!(named(error.expect_err("they are there")).0, "targets");
        for probs in [matrix(1, 3), matrix(2, 4)] {
            let error = brought().push_with_probs(matrix(1, 3), probs, upstream());
            assert_eq!(named(error.expect_err("another shape")).0, "targets");
        }
        let error = brought().push_with_probs(matrix(4, 3), matrix(3, 4), upstream());
        assert_eq!(named(error.expect_err("too many")).0, "window");
        assert_eq!(named(brought().finish().expect_err("no rows")).0, "batch");
        assert_eq!(named(stream(&op, matrix(3, 3).into()).expect_err("narrow")).0, "targets");

        // Rows and columns are those of the batch.
        let mut windows = brought();
        let good = windows.push_with_probs(matrix(2, 3), matrix(2, 4), upstream());
        good.expect("the first");
        let wide = Array::F64(vec![0.25; 4]);
        let wide = Matrix::new(wide.values(), 1, 4).expect("its shape");
        let error = windows.push_with_probs(matrix(1, 3), wide, upstream());
        assert!(named(error.expect_err("another dtype")).1.contains("dtype"));
        let bad = [0.5f32, -1.0, 0.5, 0.0];
        let bad = Matrix::new(&bad, 1, 4).expect("its shape");
        let error = windows.push_with_probs(matrix(1, 3), bad, upstream());
        assert!(named(error.expect_err("no probability")).1.contains("-1 of row 2, column 1"));

        let ignoring = LinearCrossEntropy::new(CrossEntropy::new().with_ignore_index(-1));
        let error = stream(&ignoring, BatchTargets::probs_in_windows(3)).expect_err("ignores");
        assert_eq!(named(error).0, "ignore_index");
        for targets in [BatchTargets::new(matrix(3, 4)), BatchTargets::probs_in_windows(3)] {
            let error = device.stream_classes(&op, 4, targets).expect_err("in blocks");
            let (what, reason) = named(error);
            assert!(what == "targets" && reason.contains("windows of rows"), "{reason}");
        }
    }
}
