//! Masks of rows and of elements, on every device, in every family of kernels.

mod common;

use common::cases::Rng;
use common::masks::{Data, Kept, check_elements, check_rows, signs_that_do_not_count};
use common::{Subject, cpu_subjects, devices, gpu_subjects};
use surprisal::stream::Batch;
use surprisal::{
    Array, BatchTargets, BinaryCrossEntropy, CrossEntropy, CrossEntropyInput, Device, Dtype,
    ElementwiseInput, LinearCrossEntropy, LinearCrossEntropyInput, LogitsInput, Matrix, Reduction,
    Softmax, Upstream, Values,
};

const ROWS: &str = "masked rows are 0, others as without a mask";
const ELEMENTS: &str = "masked elements are 0, others as without a mask";

/// Short, whole words, ragged, long.
const SHAPES: [(usize, usize); 4] = [(37, 5), (29, 64), (19, 131), (9, 1028)];

fn on_host() -> Vec<Subject> {
    let mut subjects = cpu_subjects();
    subjects.push(Subject::reference());
    subjects
}

#[test]
fn rows_by_the_definition_and_on_the_cpu() {
    for (shape, subject) in
        SHAPES.into_iter().flat_map(|s| on_host().into_iter().map(move |d| (s, d)))
    {
        for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
            check_rows(&subject, shape, dtype, Kept::EACH, |_| true).expect(ROWS);
        }
    }
}

#[test]
fn rows_on_a_gpu() {
    for (i, subject) in gpu_subjects().iter().enumerate() {
        let which = if i == 0 { Kept::EACH } else { Kept::MIXED };
        // Compiling is what takes the time: of two subjects that are alike each has half of the operations.
        let chosen = |op: usize| i == 0 || (op + i).is_multiple_of(2);
        check_rows(subject, SHAPES[i % 4], Dtype::F32, which, chosen).expect(ROWS);
        let dtype = if i % 2 == 0 { Dtype::F16 } else { Dtype::Bf16 };
        let chosen = |op: usize| (op + i).is_multiple_of(3);
        check_rows(subject, SHAPES[(i + 2) % 4], dtype, Kept::MIXED, chosen).expect(ROWS);
    }
}

#[test]
fn elements_by_the_definition_and_on_the_cpu() {
    for (shape, subject) in
        SHAPES.into_iter().flat_map(|s| on_host().into_iter().map(move |d| (s, d)))
    {
        for dtype in [Dtype::F32, Dtype::F16] {
            check_elements(&subject, shape, dtype, Kept::EACH).expect(ELEMENTS);
        }
    }
}

#[test]
fn elements_on_a_gpu() {
    for (i, subject) in gpu_subjects().iter().enumerate() {
        let which = if i == 0 { Kept::EACH } else { Kept::MIXED };
        check_elements(subject, SHAPES[i % 3], Dtype::F32, which).expect(ELEMENTS);
        let dtype = if i % 2 == 0 { Dtype::F16 } else { Dtype::Bf16 };
        check_elements(subject, SHAPES[(i + 1) % 3], dtype, Kept::MIXED).expect(ELEMENTS);
    }
}

#[test]
fn what_does_not_count_is_not_validated() {
    for device in devices() {
        signs_that_do_not_count(&device).expect("signs are checked where they count");
    }
}

fn matrix(values: &[f32], rows: usize) -> Matrix<'_> {
    Matrix::new(values, rows, values.len() / rows).expect("its shape")
}

/// A layer of which some rows are masked against one of which they are ignored, whole, in windows, in blocks
/// of classes: the same bits.
#[test]
fn linear_layers() {
    let (rows, width, classes) = (37, 6, 300);
    let mask = Kept::Some.mask(rows);
    let mut rng = Rng::new(11);
    let mut normal = |count: usize| (0..count).map(|_| rng.normal() as f32).collect::<Vec<_>>();
    let (sound, weight, bias) = (normal(rows * width), normal(classes * width), normal(classes));
    let hidden: Vec<f32> =
        (0..sound.len()).map(|i| if mask[i / width] { sound[i] } else { f32::NAN }).collect();
    let class = |row: usize| i64::try_from(row * 29 % classes).expect("small");
    let ignored: Vec<i64> = (0..rows).map(|i| if mask[i] { class(i) } else { -100 }).collect();
    let masked: Vec<i64> = (0..rows).map(|i| if mask[i] { class(i) } else { 1 << 33 }).collect();
    let op = LinearCrossEntropy::new(CrossEntropy::new().with_metrics()).with_gradient();
    for device in devices() {
        let input = |targets| {
            LinearCrossEntropyInput::new(matrix(&hidden, rows), matrix(&weight, classes), targets)
                .with_bias(Values::from(&bias))
        };
        let want = device.run(&op, input(&ignored)).expect("sound");
        let got = device.run(&op, input(&masked).with_mask(&mask)).expect("sound");
        assert_eq!(got, want, "{}", device.info());

        let batch = [BatchTargets::new(&ignored), BatchTargets::new(&masked).with_mask(&mask)];
        let [want, got] = batch.map(|batch| {
            let layer = matrix(&weight, classes);
            let mut stream = device.stream_linear(&op, layer, None, batch).expect("sound");
            let mut parts = Vec::new();
            for rows in hidden.chunks(10 * width) {
                let window = matrix(rows, rows.len() / width);
                parts.push(stream.push(window, Upstream::default()).expect("a window"));
            }
            (parts, stream.finish().expect("whole"))
        });
        assert_eq!(got, want, "{} in windows", device.info());

        let [want, got] = batch.map(|batch| {
            let mut stream = device.stream_classes(&op, classes, batch).expect("sound");
            let mut parts = Vec::new();
            for rows in hidden.chunks(20 * width) {
                let of_rows = matrix(rows, rows.len() / width);
                let mut window = stream.window(of_rows, Upstream::default()).expect("a window");
                let mut layer = Vec::new();
                for _ in 0..window.passes() {
                    for block in weight.chunks(128 * width) {
                        let block = matrix(block, block.len() / width);
                        layer.push(window.push(block, None).expect("a block"));
                    }
                }
                parts.push((window.finish().expect("whole"), layer));
            }
            (parts, stream.finish().expect("whole"))
        });
        assert_eq!(got, want, "{} in blocks", device.info());
    }
}

/// Windows of a batch with a mask: the bits of the whole batch.
#[test]
fn windows() {
    let data = Data::new(41, 23, Dtype::F32);
    let mask = Kept::Some.mask(41);
    let data = data.poisoned(&mask);
    for device in devices() {
        for reduction in [Reduction::Mean, Reduction::Sum, Reduction::None] {
            windows_of(&device, &data, &mask, reduction);
        }
    }
}

fn rows_of<'a>(array: &'a Array, data: &Data, rows: [usize; 2]) -> Matrix<'a> {
    let values = &array.as_f32().expect("f32")[rows[0] * data.classes..rows[1] * data.classes];
    Matrix::new(values, rows[1] - rows[0], data.classes).expect("its shape")
}

fn windows_of(device: &Device, data: &Data, mask: &[bool], reduction: Reduction) {
    let (rows, classes) = (data.rows, data.classes);
    let name = device.info().to_string();
    let batch = Batch::new(rows, classes, 16).with_mask(mask);
    let cut = |first: usize| [first, rows.min(first + 16)];

    let op = CrossEntropy::new().with_reduction(reduction).with_gradient().with_metrics();
    let probs = data.matrix(&data.probs);
    let input = CrossEntropyInput::new(data.matrix(&data.logits), probs).with_mask(mask);
    let want = device.run(&op, input).expect("sound");
    let mut stream = device.stream(&op, batch).expect("sound");
    let mut gradient = Vec::new();
    for window in (0..rows).step_by(16).map(cut) {
        let probs = rows_of(&data.probs, data, window);
        let input = CrossEntropyInput::new(rows_of(&data.logits, data, window), probs);
        let part = stream.push(input).expect("a window");
        gradient.extend(part.matrix.expect("asked for").to_f64());
    }
    let total = stream.finish().expect("whole");
    assert_eq!(gradient, want.dlogits.expect("asked for").to_f64(), "{name}");
    assert_eq!(total.loss, want.loss.reduced(), "{name}");
    assert_eq!((total.kept_rows, total.total_weight), (want.kept_rows, want.total_weight));
    let [of_total, of_whole] = [total.metrics, want.metrics].map(|it| it.expect("asked for"));
    assert_eq!(of_total.perplexity.to_bits(), of_whole.perplexity.to_bits(), "{name}");

    let op = CrossEntropy::new().with_reduction(reduction).with_gradient();
    let input = CrossEntropyInput::new(data.matrix(&data.logits), &data.targets).with_mask(mask);
    let want = device.run(&op, input).expect("sound");
    let batch_of_indices = batch.with_targets(&data.targets);
    let mut stream = device.stream(&op, batch_of_indices).expect("sound");
    let mut gradient = Vec::new();
    for window in (0..rows).step_by(16).map(cut) {
        let targets = &data.targets[window[0]..window[1]];
        let input = CrossEntropyInput::new(rows_of(&data.logits, data, window), targets);
        gradient.extend(stream.push(input).expect("a window").matrix.expect("asked").to_f64());
    }
    assert_eq!(gradient, want.dlogits.expect("asked for").to_f64(), "{name}");
    assert_eq!(stream.finish().expect("whole").loss, want.loss.reduced(), "{name}");

    // Elements, by a mask and by labels.
    let of_elements: Vec<bool> = (0..rows * classes).map(|i| mask[i / classes]).collect();
    let op = BinaryCrossEntropy::new().with_reduction(reduction).with_gradient();
    let op = op.with_ignore_index(1.0);
    let (x, y) = (data.matrix(&data.logits), data.matrix(&data.labels));
    let want = device.run(&op, ElementwiseInput::new(x, y).with_mask(&of_elements));
    let want = want.expect("sound");
    let labels = data.labels.to_f64();
    let kept = (0..labels.len()).filter(|&i| of_elements[i] && labels[i] != 1.0).count();
    let batch = Batch::new(rows, classes, rows).with_kept_elements(kept);
    let mut stream = device.stream(&op, batch).expect("sound");
    let mut gradient = Vec::new();
    // Whole folded rows of 23 * 41 elements: one window on a GPU.
    for window in (0..rows).step_by(41).map(|first| [first, rows.min(first + 41)]) {
        let elements = &of_elements[window[0] * classes..window[1] * classes];
        let input = ElementwiseInput::new(
            rows_of(&data.logits, data, window),
            rows_of(&data.labels, data, window),
        );
        let part = stream.push(input.with_mask(elements));
        gradient.extend(part.expect("a window").matrix.expect("asked for").to_f64());
    }
    assert_eq!(gradient, want.dinput.expect("asked for").to_f64(), "{name}");
    let total = stream.finish().expect("whole");
    assert_eq!(total.loss, want.loss.reduced(), "{name}");
    assert_eq!(total.total_weight, kept as f64, "{name}");
}

#[test]
fn masks_that_do_not_fit() {
    let device = Device::cpu();
    let x = [0.0f32; 6];
    let matrix = Matrix::new(&x, 3, 2).expect("its shape");
    let short = [true; 2];
    let error = device.run(&Softmax, LogitsInput::new(matrix).with_mask(&short));
    let wanted = "mask: expected [3], one for each row, found [2]";
    assert!(error.expect_err("two of three").to_string().contains(wanted));
    let input = ElementwiseInput::new(matrix, matrix).with_mask(&[true; 3]);
    let error = device.run(&BinaryCrossEntropy::new(), input).expect_err("three of six");
    assert!(error.to_string().contains("expected [6], one for each element"), "{error}");

    let batch = Batch::new(3, 2, 2).with_mask(&[true, false, true]);
    let mut stream = device.stream(&Softmax, batch).expect("sound");
    let window = Matrix::new(&x[..4], 2, 2).expect("its shape");
    let other = LogitsInput::new(window).with_mask(&[true, true]);
    let error = stream.push(other).expect_err("another mask");
    assert!(error.to_string().contains("not that of the batch"), "{error}");

    let batch = Batch::new(3, 2, 3).with_kept_elements(6);
    let op = BinaryCrossEntropy::new();
    let mut stream = device.stream(&op, batch).expect("sound");
    let all_but_one = [true, true, true, true, true, false];
    stream.push(ElementwiseInput::new(matrix, matrix).with_mask(&all_but_one)).expect("a window");
    let error = stream.finish().expect_err("five of six");
    assert!(error.to_string().contains("5 elements count, 6 were expected"), "{error}");
}
