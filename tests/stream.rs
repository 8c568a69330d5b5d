//! A batch that comes in windows gives the bits of the whole batch, on every device, wherever it is
//! cut.

mod common;

use half::{bf16, f16};
use surprisal::gpu::Fault;
use surprisal::stream::{Batch, Part, Total};
use surprisal::{
    Array, BinaryCrossEntropy, BinaryFocal, CrossEntropy, CrossEntropyInput, CrossEntropyOutput,
    Device, DivergenceInput, Elementwise, ElementwiseInput, ElementwiseLoss, Entropy,
    EntropyBackward, EntropyBackwardInput, Error, Focal, InputForm, JsDivergence, KlDivergence,
    LogSoftmax, LogSumExp, LogitsInput, Loss, Matrix, Op, Reduction, Softmax, Surprisal, Unit,
    Upstream, Values,
};

const REDUCTIONS: [Reduction; 3] = [Reduction::Mean, Reduction::Sum, Reduction::None];

/// Numbers that look arbitrary, of about this size.
fn noise(count: usize, seed: u64, size: f32) -> Vec<f32> {
    let mut state = seed | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        size * ((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0)
    };
    (0..count).map(next).collect()
}

/// The same numbers in a dtype, and parts of them.
fn stored(values: &[f32], dtype: &str) -> Array {
    match dtype {
        "f16" => values.iter().map(|&x| f16::from_f32(x)).collect::<Vec<_>>().into(),
        "bf16" => values.iter().map(|&x| bf16::from_f32(x)).collect::<Vec<_>>().into(),
        "f64" => values.iter().map(|&x| f64::from(x) * 1.000_000_1).collect::<Vec<_>>().into(),
        _ => values.to_vec().into(),
    }
}

fn slice(array: &Array, from: usize, to: usize) -> Values<'_> {
    match array.values() {
        Values::F16(v) => v[from..to].into(),
        Values::Bf16(v) => v[from..to].into(),
        Values::F32(v) => v[from..to].into(),
        Values::F64(v) => v[from..to].into(),
        other => other,
    }
}

fn rows_of(array: &Array, columns: usize, rows: [usize; 2]) -> Matrix<'_> {
    let values = slice(array, rows[0] * columns, rows[1] * columns);
    Matrix::new(values, rows[1] - rows[0], columns).expect("they fit")
}

fn matrix(values: &[f32], shape: [usize; 2]) -> Matrix<'_> {
    Matrix::new(values, shape[0], shape[1]).expect("they fit")
}

/// The bits of numbers that may be NaN.
fn bits(array: &Array) -> Vec<u8> {
    array.as_bytes().to_vec()
}

#[derive(Debug, Default, PartialEq)]
struct Gathered {
    matrix: Vec<u8>,
    each: Vec<u8>,
    lse: Vec<u8>,
    loss: Option<u64>,
    kept_rows: u64,
    metrics: Option<(u64, u64, u64)>,
}

impl Gathered {
    fn push(&mut self, part: &Part) {
        self.matrix.extend(part.matrix.iter().flat_map(bits));
        self.each.extend(part.each.iter().flat_map(bits));
        self.lse.extend(part.lse.iter().flat_map(bits));
    }

    fn total(&mut self, total: &Total) {
        self.loss = total.loss.map(f64::to_bits);
        self.kept_rows = total.kept_rows;
        self.metrics = total
            .metrics
            .as_ref()
            .map(|m| (m.correct, m.accuracy.to_bits(), m.perplexity.to_bits()));
    }

    fn of_loss(loss: &Loss, matrix: Option<&Array>, kept_rows: u64) -> Self {
        Self {
            matrix: matrix.map(bits).unwrap_or_default(),
            each: loss.each().map(bits).unwrap_or_default(),
            loss: loss.reduced().map(f64::to_bits),
            kept_rows,
            ..Self::default()
        }
    }

    fn of_rows(output: &CrossEntropyOutput) -> Self {
        Self {
            lse: bits(&output.lse),
            metrics: output
                .metrics
                .as_ref()
                .map(|m| (m.correct, m.accuracy.to_bits(), m.perplexity.to_bits())),
            ..Self::of_loss(&output.loss, output.dlogits.as_ref(), output.kept_rows)
        }
    }
}

/// What windows of so many rows come to.
fn streamed<O: Op>(
    device: &Device,
    op: &O,
    batch: Batch<'_>,
    push: impl Fn([usize; 2], &mut dyn FnMut(O::Input<'_>)),
) -> Gathered {
    let mut stream = device.stream(op, batch).expect("it can be streamed");
    let mut gathered = Gathered::default();
    for first in (0..batch.rows()).step_by(batch.window_rows()) {
        let rows = [first, batch.rows().min(first + batch.window_rows())];
        push(rows, &mut |input| gathered.push(&stream.push(input).expect("a window")));
    }
    gathered.total(&stream.finish().expect("a total"));
    gathered
}

fn check_cross_entropy(op: &CrossEntropy, (rows, classes): (usize, usize), cuts: &[usize]) {
    check_cross_entropy_of(op, (rows, classes), cuts, "f32");
}

fn check_cross_entropy_of(
    op: &CrossEntropy,
    (rows, classes): (usize, usize),
    cuts: &[usize],
    dtype: &str,
) {
    let logits = stored(&noise(rows * classes, 7, 9.0), dtype);
    let mut targets: Vec<i64> =
        (0..rows).map(|i| i64::try_from(i * 31 % classes).expect("small")).collect();
    targets.iter_mut().skip(2).step_by(5).for_each(|target| *target = -100);
    let each = noise(rows, 11, 2.0);
    for device in common::devices() {
        let upstream = |[from, to]: [usize; 2]| match op.reduction() {
            Reduction::None => Upstream::Each(each[from..to].into()),
            _ => Upstream::Scalar(0.7),
        };
        let input = |at: [usize; 2]| {
            CrossEntropyInput::new(rows_of(&logits, classes, at), &targets[at[0]..at[1]])
                .with_upstream(upstream(at))
        };
        let whole = Gathered::of_rows(&device.run(op, input([0, rows])).expect("the whole"));
        for &cut in cuts {
            let batch = Batch::new(rows, classes, cut).with_targets(&targets);
            let got = streamed(&device, op, batch, |at, push| push(input(at)));
            assert!(got == whole, "{op:?} {dtype} on {} in {cut}s", device.info());
        }
    }
}

#[test]
fn cross_entropy_of_any_shape() {
    for reduction in REDUCTIONS {
        let op = CrossEntropy::new().with_reduction(reduction);
        check_cross_entropy(&op, (13, 7), &[1, 2, 5, 13]);
        let op = op.with_gradient();
        check_cross_entropy(&op, (13, 7), &[1, 2, 5, 13]);
        check_cross_entropy(&op, (37, 130), &[1, 8, 36]);
        // Rows that are split on a GPU.
        check_cross_entropy(&op, (3, 40_001), &[1, 2]);
        // More rows than a block of the sums.
        check_cross_entropy(&op, (9001, 3), &[1000, 4096, 5000]);
    }
}

#[test]
fn cross_entropy_with_options() {
    let op = CrossEntropy::new().with_gradient().with_unit(Unit::Bits);
    let weighted = op.clone().with_class_weights((0..23u8).map(|j| 0.3 + f64::from(j)));
    check_cross_entropy(&weighted, (41, 23), &[1, 10]);
    check_cross_entropy(&weighted.clone().with_label_smoothing(0.1), (41, 23), &[3]);
    check_cross_entropy(&op.clone().with_z_loss(0.01).with_softcap(5.0), (41, 23), &[4]);
    check_cross_entropy(&op.clone().with_normalizer(17.0), (41, 23), &[4]);
    check_cross_entropy(&op.clone().with_metrics(), (41, 23), &[1, 4]);
    check_cross_entropy(&op.clone().with_metrics(), (9001, 2), &[700]);
    check_cross_entropy(&op.with_form(InputForm::LogProbs), (41, 23), &[4]);
}

#[test]
fn cross_entropy_of_every_dtype() {
    let op = CrossEntropy::new().with_gradient();
    for dtype in ["f16", "bf16", "f64"] {
        check_cross_entropy_of(&op, (29, 7), &[1, 2, 3, 28], dtype);
        check_cross_entropy_of(&op, (29, 64), &[5], dtype);
    }
}

#[test]
fn probability_targets_and_divergences() {
    let (rows, classes) = (23, 9);
    let a = stored(&noise(rows * classes, 3, 4.0), "f32");
    let b = stored(&noise(rows * classes, 4, 4.0), "f32");
    let probs: Vec<f32> = noise(rows * classes, 5, 0.5).iter().map(|x| x + 0.5).collect();
    let probs = stored(&probs, "f32");
    for device in common::devices() {
        for (reduction, cut) in REDUCTIONS.into_iter().zip([1, 4, 22]) {
            let name = format!("{reduction} on {} in {cut}s", device.info());
            let op = CrossEntropy::new().with_reduction(reduction).with_gradient().with_metrics();
            let input =
                |at| CrossEntropyInput::new(rows_of(&a, classes, at), rows_of(&probs, classes, at));
            let whole = Gathered::of_rows(&device.run(&op, input([0, rows])).expect("whole"));
            let batch = Batch::new(rows, classes, cut);
            let got = streamed(&device, &op, batch, |at, push| push(input(at)));
            assert_eq!(got, whole, "probabilities, {name}");

            let input =
                |at| DivergenceInput::new(rows_of(&a, classes, at), rows_of(&b, classes, at));
            let op = KlDivergence::new().with_reduction(reduction).with_gradient();
            let output = device.run(&op, input([0, rows])).expect("whole");
            let lse = bits(&output.lse);
            let whole = Gathered::of_loss(&output.loss, output.dstudent.as_ref(), rows as u64);
            let got = streamed(&device, &op, batch, |at, push| push(input(at)));
            assert_eq!(got, Gathered { lse, ..whole }, "KL, {name}");

            let op = JsDivergence::new().with_reduction(reduction).with_gradient();
            let output = device.run(&op, input([0, rows])).expect("whole");
            let lse = bits(&output.lse);
            let whole = Gathered::of_loss(&output.loss, output.dstudent.as_ref(), rows as u64);
            let got = streamed(&device, &op, batch, |at, push| push(input(at)));
            assert_eq!(got, Gathered { lse, ..whole }, "JS, {name}");
        }
    }
}

#[test]
fn focal_loss() {
    let (rows, classes) = (31, 6);
    let logits = stored(&noise(rows * classes, 3, 4.0), "f32");
    let targets: Vec<i32> = (0..rows).map(|i| i32::try_from(i % classes).expect("small")).collect();
    for device in common::devices() {
        for reduction in REDUCTIONS {
            let op = Focal::new().with_reduction(reduction).with_gradient().with_ignore_index(2);
            let input = |at: [usize; 2]| {
                CrossEntropyInput::new(rows_of(&logits, classes, at), &targets[at[0]..at[1]])
            };
            let whole = Gathered::of_rows(&device.run(&op, input([0, rows])).expect("whole"));
            let batch = Batch::new(rows, classes, 4).with_targets(&targets);
            let got = streamed(&device, &op, batch, |at, push| push(input(at)));
            assert_eq!(got, whole, "{reduction} on {}", device.info());
        }
    }
}

/// An elementwise loss of `[rows, columns]`, cut as its batch says.
fn check_elements<O>(op: &O, device: &Device, each: bool, batch: Batch<'_>, shape: [usize; 2])
where
    O: for<'a> Op<Input<'a> = ElementwiseInput<'a>, Output = surprisal::ElementwiseOutput>,
{
    let count = shape[0] * shape[1];
    let x = stored(&noise(count, 21, 3.0), "f32");
    let y = stored(
        &noise(count, 22, 1.0).iter().map(|y| y.signum().max(0.0)).collect::<Vec<_>>(),
        "f32",
    );
    let weights = stored(&noise(count, 23, 1.0), "f32");
    let dloss = noise(count, 24, 1.0);
    let input = |columns: usize, at: [usize; 2]| {
        let upstream = if each {
            Upstream::Each(dloss[at[0] * columns..at[1] * columns].into())
        } else {
            Upstream::Scalar(1.5)
        };
        ElementwiseInput::new(rows_of(&x, columns, at), rows_of(&y, columns, at))
            .with_weights(rows_of(&weights, columns, at))
            .with_upstream(upstream)
    };
    let output = device.run(op, input(shape[1], [0, shape[0]])).expect("the whole");
    let whole = Gathered::of_loss(&output.loss, output.dinput.as_ref(), 0);
    let got = streamed(device, op, batch, |at, push| push(input(batch.columns(), at)));
    let got = Gathered { kept_rows: 0, ..got };
    assert!(got == whole, "{} {batch:?}", device.info());
}

#[test]
fn elementwise_losses() {
    for device in common::devices() {
        for reduction in REDUCTIONS {
            let each = reduction == Reduction::None;
            let binary = BinaryCrossEntropy::new().with_reduction(reduction).with_gradient();
            let focal = BinaryFocal::new().with_reduction(reduction);
            let huber = Elementwise::new(ElementwiseLoss::Huber { delta: 0.5 })
                .with_reduction(reduction)
                .with_gradient();
            for (shape, elements) in
                [([60, 128], 2000), ([1, 9000], 2000), ([7, 11], 7), ([3, 5], 1)]
            {
                let batch = Batch::of_elements(shape[0], shape[1], elements);
                check_elements(&binary, &device, each, batch, shape);
                let alike = binary.clone().with_pos_weight_of_all(2.5);
                check_elements(&alike, &device, each, batch, shape);
                check_elements(&focal, &device, each, batch, shape);
                check_elements(&huber, &device, each, batch, shape);
            }
            // Columns that matter: rows as they are.
            let weighted = binary.clone().with_pos_weight((0..11u8).map(|j| 0.5 + f64::from(j)));
            for cut in [1, 4] {
                check_elements(&weighted, &device, each, Batch::new(7, 11, cut), [7, 11]);
            }
        }
    }
}

fn check_transform<O>(op: &O, device: &Device, shape: [usize; 2], cut: usize)
where
    O: for<'a> Op<Input<'a> = LogitsInput<'a>, Output = Array>,
{
    for dtype in ["f32", "bf16"] {
        let logits = stored(&noise(shape[0] * shape[1], 31, 8.0), dtype);
        let whole = device
            .run(op, LogitsInput::from(rows_of(&logits, shape[1], [0, shape[0]])))
            .expect("the whole");
        let batch = Batch::new(shape[0], shape[1], cut);
        let got = streamed(device, op, batch, |at, push| {
            push(LogitsInput::from(rows_of(&logits, shape[1], at)));
        });
        let got = [got.matrix, got.each].concat();
        assert_eq!(got, bits(&whole), "{dtype} in {cut}s on {}", device.info());
    }
}

#[test]
fn transforms() {
    for device in common::devices() {
        for (shape, cut) in [([19, 5], 1), ([19, 5], 4), ([33, 257], 10), ([2, 30_001], 1)] {
            check_transform(&Softmax, &device, shape, cut);
            check_transform(&LogSoftmax, &device, shape, cut);
            check_transform(&Surprisal::new().with_unit(Unit::Bits), &device, shape, cut);
            check_transform(&LogSumExp, &device, shape, cut);
            check_transform(&Entropy::new(), &device, shape, cut);
        }
    }
}

#[test]
fn entropy_backward() {
    let (rows, classes) = (41, 23);
    let dentropy = noise(rows, 33, 2.0);
    for device in common::devices() {
        for dtype in ["f32", "bf16", "f64"] {
            let logits = stored(&noise(rows * classes, 32, 8.0), dtype);
            let input = |at: [usize; 2]| {
                EntropyBackwardInput::new(rows_of(&logits, classes, at), &dentropy[at[0]..at[1]])
            };
            let op = EntropyBackward::new().with_unit(Unit::Bits);
            let whole = device.run(&op, input([0, rows])).expect("the whole");
            for cut in [1, 9, 40] {
                let batch = Batch::new(rows, classes, cut);
                let got = streamed(&device, &op, batch, |at, push| push(input(at)));
                assert_eq!(got.matrix, bits(&whole), "{dtype} in {cut}s on {}", device.info());
            }
            let mut stream = device.stream(&op, Batch::new(rows, classes, 9)).expect("a stream");
            let short =
                EntropyBackwardInput::new(rows_of(&logits, classes, [0, 9]), &dentropy[..2]);
            let error = stream.push(short).expect_err("two numbers for nine rows");
            assert!(matches!(error, Error::ShapeMismatch { .. }), "{error}");
        }
    }
}

#[test]
fn windows_of_different_sizes() {
    let (rows, classes) = (50, 17);
    let logits = stored(&noise(rows * classes, 3, 4.0), "f32");
    let targets: Vec<i64> = (0..rows).map(|i| i64::try_from(i % classes).expect("small")).collect();
    let op = CrossEntropy::new().with_gradient();
    for device in common::devices() {
        let input = |at: [usize; 2]| {
            CrossEntropyInput::new(rows_of(&logits, classes, at), &targets[at[0]..at[1]])
        };
        let whole = Gathered::of_rows(&device.run(&op, input([0, rows])).expect("whole"));
        let batch = Batch::new(rows, classes, 20).with_targets(&targets);
        let mut stream = device.stream(&op, batch).expect("a stream");
        let mut got = Gathered::default();
        for at in [[0, 1], [1, 20], [20, 20], [20, 40], [40, 50]] {
            got.push(&stream.push(input(at)).expect("a window"));
        }
        got.total(&stream.finish().expect("a total"));
        assert_eq!(got, whole, "{}", device.info());
    }
}

/// Several at a time, and waited for on another thread, the last one first.
#[test]
fn windows_that_are_under_way_together() {
    let (rows, classes) = (40, 130);
    let logits = stored(&noise(rows * classes, 5, 4.0), "f32");
    let targets: Vec<i64> = (0..rows).map(|i| i64::try_from(i % classes).expect("small")).collect();
    let op = CrossEntropy::new().with_gradient().with_reduction(Reduction::None);
    for device in common::devices() {
        let input = |at: [usize; 2]| {
            CrossEntropyInput::new(rows_of(&logits, classes, at), &targets[at[0]..at[1]])
        };
        let whole = Gathered::of_rows(&device.run(&op, input([0, rows])).expect("whole"));
        let batch = Batch::new(rows, classes, 8).with_targets(&targets);
        let mut stream = device.stream(&op, batch).expect("a stream");
        let mut parts = Vec::new();
        for at in [[0, 24], [24, rows]] {
            let begin = |first: usize| {
                // Memory of another size and of another type goes round too.
                let spare =
                    if first == 8 { vec![7.0f32; 3].into() } else { vec![7.0f64; 2000].into() };
                stream.begin(input([first, first + 8]), Some(spare)).expect("a window")
            };
            let pending: Vec<_> = (at[0]..at[1]).step_by(8).map(begin).collect();
            let wait =
                || pending.into_iter().rev().map(|one| one.wait().expect("a part")).collect();
            let mut taken: Vec<_> =
                std::thread::scope(|scope| scope.spawn(wait).join().expect("done"));
            taken.reverse();
            parts.extend(taken);
        }
        let mut got = Gathered::default();
        for part in &parts {
            got.push(part);
        }
        got.total(&stream.finish().expect("a total"));
        assert_eq!(got, whole, "{}", device.info());
    }
}

#[test]
fn nothing_at_all_and_nothing_kept() {
    for device in common::devices() {
        let empty: [i64; 0] = [];
        let op = CrossEntropy::new();
        let batch = Batch::new(0, 5, 1).with_targets(&empty);
        let total = device.stream(&op, batch).expect("a stream").finish().expect("a total");
        assert!(total.loss.is_some_and(f64::is_nan), "{}", device.info());

        let ignored = [-100i64; 2];
        let batch = Batch::new(2, 2, 1).with_targets(&ignored);
        let op = op.with_gradient();
        let mut stream = device.stream(&op, batch).expect("a stream");
        for _ in 0..2 {
            let row = Matrix::new(&[1.0f32, 2.0], 1, 2).expect("a row");
            let part = stream.push(CrossEntropyInput::new(row, &ignored[..1])).expect("a window");
            assert_eq!(part.matrix.expect("a gradient").to_f64(), [0.0, 0.0]);
        }
        assert!(stream.finish().expect("a total").loss.is_some_and(f64::is_nan));
    }
}

#[test]
fn what_is_wrong_is_said_with_the_rows_of_the_batch() {
    let op = CrossEntropy::new();
    for device in common::devices() {
        let targets = [0i64, 1, 0, 9];
        let batch = Batch::new(4, 2, 2).with_targets(&targets);
        let error = device.stream(&op, batch).expect_err("9 is no class");
        assert_eq!(error, Error::TargetOutOfRange { row: 3, value: 9, classes: 2 });

        let targets = [0i64, 1, 0, 1];
        let batch = Batch::new(4, 2, 2).with_targets(&targets);
        let probs = op.clone().with_form(InputForm::Probs);
        let mut stream = device.stream(&probs, batch).expect("a stream");
        let good = Matrix::new(&[0.5f32; 4], 2, 2).expect("rows");
        stream.push(CrossEntropyInput::new(good, &targets[..2])).expect("a window");
        let bad = Matrix::new(&[0.5f32, 0.5, 0.5, 1.5], 2, 2).expect("rows");
        let error = stream.push(CrossEntropyInput::new(bad, &targets[2..])).expect_err("1.5");
        assert!(error.to_string().contains("1.5 of row 3, column 1"), "{error}");
        assert!(stream.finish().expect_err("rows are missing").to_string().contains("4 rows"));

        let mut stream = device.stream(&op, batch).expect("a stream");
        let many = Matrix::new(&[0.5f32; 6], 3, 2).expect("rows");
        let error = stream.push(CrossEntropyInput::new(many, &[0i64; 3])).expect_err("too many");
        assert!(error.to_string().contains("at most [2, 2], found [3, 2]"), "{error}");
    }
}

#[test]
fn a_fault_at_any_call() {
    let logits = noise(4 * 3, 1, 2.0);
    let targets = [0i64, 2, 1, 1];
    let op = CrossEntropy::new().with_gradient().with_metrics();
    let run = |device: &Device| {
        let batch = Batch::new(4, 3, 2).with_targets(&targets);
        let mut stream = device.stream(&op, batch)?;
        let mut begin = |at: usize| {
            let rows = Matrix::new(&logits[3 * at..3 * at + 6], 2, 3)?;
            stream.begin(CrossEntropyInput::new(rows, &targets[at..at + 2]), None)
        };
        let windows = [begin(0)?, begin(2)?];
        windows.into_iter().try_for_each(|window| window.wait().map(drop))?;
        stream.finish()
    };
    let sound = run(&Device::with_gpu(common::gpu())).expect("it works");
    for fault in [Fault::OutOfMemory, Fault::DeviceLost] {
        let mut calls = 0;
        while let Err(error) = run(&Device::with_gpu(common::gpu().with_fault_at(calls, fault))) {
            let is_right = match fault {
                Fault::DeviceLost => matches!(error, Error::DeviceLost { .. }),
                _ => matches!(error, Error::OutOfMemory { .. }),
            };
            assert!(is_right, "{fault:?} at call {calls}: {error}");
            calls += 1;
        }
        assert!(calls > 20, "only {calls} calls can fail; is the seam still where it was?");
    }
    assert_eq!(run(&Device::with_gpu(common::gpu())), Ok(sound));
}

/// Losses that cancel but for what rounding leaves: the sum is what its order makes of it.
#[test]
fn sums_that_hang_on_their_order() {
    const HALF: usize = 10_000;
    let x = noise(HALF, 41, 3.0);
    // The second half begins elsewhere, so that no row is another's opposite.
    let turned = |values: &[f32]| [&values[777..], &values[..777]].concat();
    let x = [&x[..], &turned(&x)].concat();
    // Of sizes so far apart that two f32s do not hold the sum of a few.
    let weights = noise(HALF, 42, 1.0);
    let size = |i: usize| ((i * 37 % 80) as f32 - 40.0).exp2();
    let weights: Vec<f32> = weights.iter().enumerate().map(|(i, w)| w * size(i)).collect();
    let opposite: Vec<f32> = turned(&weights).iter().map(|w| -w).collect();
    let weights = [weights, opposite].concat();
    let y = vec![0.0f32; 2 * HALF];
    let op = Elementwise::new(ElementwiseLoss::Squared).with_reduction(Reduction::Sum);
    for device in common::devices() {
        let input = |columns: usize, at: [usize; 2]| {
            let range = at[0] * columns..at[1] * columns;
            let shape = [at[1] - at[0], columns];
            ElementwiseInput::new(
                matrix(&x[range.clone()], shape),
                matrix(&y[range.clone()], shape),
            )
            .with_weights(matrix(&weights[range], shape))
        };
        let whole = device.run(&op, input(2 * HALF, [0, 1])).expect("the whole").loss;
        assert_ne!(whole.reduced(), Some(0.0), "nothing hangs on the order");
        for elements in [1, 6000, 10_000] {
            let batch = Batch::of_elements(1, 2 * HALF, elements);
            let got = streamed(&device, &op, batch, |at, push| push(input(batch.columns(), at)));
            assert_eq!(got.loss, whole.reduced().map(f64::to_bits), "{}", device.info());
        }
    }
}
