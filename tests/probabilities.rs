//! Matrices of probabilities: one check for all of them, on every device, before anything is computed.

mod common;

use half::{bf16, f16};
use surprisal::stream::Batch;
use surprisal::{
    Array, BinaryCrossEntropy, CrossEntropy, CrossEntropyInput, Device, DivergenceInput,
    ElementwiseInput, Error, InputForm, JsDivergence, KlDivergence, Labels, Matrix, MatrixMut,
    Reduction,
};

const CLASSES: usize = 3;

fn matrix(values: &[f32]) -> Matrix<'_> {
    Matrix::new(values, values.len() / CLASSES, CLASSES).expect("whole rows")
}

/// Where a matrix of probabilities is read, as `what` it is known, with what that says of NaN.
type Place = (&'static str, &'static str, fn(&Device, Matrix<'_>) -> surprisal::Result<()>);

/// Of rows that are probabilities but for the number under test.
const PLACES: [Place; 7] = [
    ("targets", "taken", |device, q| {
        let x = [0.5f32; 2 * CLASSES];
        device.run(&CrossEntropy::new(), CrossEntropyInput::new(matrix(&x), q)).map(|_| ())
    }),
    ("targets", "taken", |device, q| {
        let (x, op) = ([0.5f32; 2 * CLASSES], CrossEntropy::new().with_form(InputForm::Probs));
        device.run(&op, CrossEntropyInput::new(matrix(&x), q)).map(|_| ())
    }),
    ("logits", "refused", |device, p| {
        let op = CrossEntropy::new().with_form(InputForm::Probs);
        device.run(&op, CrossEntropyInput::new(p, &[0i64, 1])).map(|_| ())
    }),
    ("teacher", "refused", |device, p| {
        let (x, op) = ([0.5f32; 2 * CLASSES], KlDivergence::new().with_teacher(InputForm::Probs));
        device.run(&op, DivergenceInput::new(p, matrix(&x))).map(|_| ())
    }),
    ("teacher", "refused", |device, p| {
        let (x, op) = ([0.5f32; 2 * CLASSES], JsDivergence::new().with_teacher(InputForm::Probs));
        device.run(&op, DivergenceInput::new(p, matrix(&x))).map(|_| ())
    }),
    ("input", "refused", |device, p| {
        let op = BinaryCrossEntropy::new().with_form(InputForm::Probs);
        device.run(&op, ElementwiseInput::new(p, matrix(&[1.0; 2 * CLASSES]))).map(|_| ())
    }),
    ("targets", "refused", |device, y| {
        let x = [0.5f32; 2 * CLASSES];
        device.run(&BinaryCrossEntropy::new(), ElementwiseInput::new(matrix(&x), y)).map(|_| ())
    }),
];

fn of_every_dtype(values: &[f32]) -> [Array; 4] {
    [
        values.to_vec().into(),
        values.iter().map(|&x| f16::from_f32(x)).collect::<Vec<_>>().into(),
        values.iter().map(|&x| bf16::from_f32(x)).collect::<Vec<_>>().into(),
        values.iter().map(|&x| f64::from(x)).collect::<Vec<_>>().into(),
    ]
}

/// What `place` says of two rows with this number in the second, on every device and of every dtype.
fn said(place: Place, number: f32) -> Vec<(String, surprisal::Result<()>)> {
    let values = [0.25, 0.25, 0.5, 1.0, number, 0.0];
    let mut all = Vec::new();
    for device in common::devices() {
        for array in of_every_dtype(&values) {
            let matrix = Matrix::new(array.values(), 2, CLASSES).expect("two rows");
            all.push((format!("{} {}", device.info(), array.dtype()), place.2(&device, matrix)));
        }
    }
    all
}

#[test]
fn what_is_no_probability_is_an_error() {
    for place in PLACES {
        for (bad, shown) in [
            (-1.0, "-1"),
            (-0.125, "-0.125"),
            (2.0, "2"),
            (-100.0, "-100"),
            (f32::INFINITY, "inf"),
            (f32::NEG_INFINITY, "-inf"),
        ] {
            for (name, result) in said(place, bad) {
                let reason =
                    format!("{shown} of row 1, column 1 is no probability: it is not in [0, 1]");
                assert_eq!(result, Err(Error::InvalidInput { what: place.0, reason }), "{name}");
            }
        }
        for good in [0.0, -0.0, 1.0, 0.5, f32::MIN_POSITIVE] {
            for (name, result) in said(place, good) {
                assert_eq!(result, Ok(()), "{good} as {}, {name}", place.0);
            }
        }
        for (name, result) in said(place, f32::NAN) {
            assert_eq!(result.is_ok(), place.1 == "taken", "NaN as {}, {name}", place.0);
        }
    }
}

/// The loss was -109.04 (a mean of three rows) before the last row was looked at.
#[test]
fn a_mask_among_one_hot_labels_is_an_error() {
    let q = [1.0f32, 0.0, 0.0, 0.0, 0.0, 1.0, -100.0, -100.0, -100.0];
    let x = [1.0f32, 2.0, 3.0, 1.0, 2.0, 5.0, 0.0, 0.0, 0.0];
    for device in common::devices() {
        for op in [CrossEntropy::new(), CrossEntropy::new().with_label_smoothing(0.1)] {
            let result = device.run(&op, CrossEntropyInput::new(matrix(&x), matrix(&q)));
            let text = result.expect_err("they are no probabilities").to_string();
            assert!(text.contains("targets: -100 of row 2, column 0"), "{text}");
        }
    }
}

#[test]
fn nan_among_the_targets_is_its_row_s() {
    let q = [0.5f32, 0.5, 0.0, 0.0, f32::NAN, 1.0, 0.0, 0.0, 1.0];
    let x = [1.0f32, 2.0, 3.0, 1.0, 2.0, 5.0, 0.5, 0.25, 0.0];
    let sound = [0.5f32, 0.5, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0];
    for device in common::devices() {
        let op = CrossEntropy::new().with_reduction(Reduction::None).with_gradient();
        let run = |q| {
            device.run(&op, CrossEntropyInput::new(matrix(&x), matrix(q))).expect("it is taken")
        };
        let (with, without) = (run(&q), run(&sound));
        let of = |loss: &surprisal::Loss| loss.each().expect("one a row").to_f64();
        let (with_loss, without_loss) = (of(&with.loss), of(&without.loss));
        let gradient = |array: Option<Array>| array.expect("asked for").to_f64();
        let (with, without) = (gradient(with.dlogits), gradient(without.dlogits));
        for row in [0, 1, 2] {
            let columns = row * CLASSES..(row + 1) * CLASSES;
            if row == 1 {
                assert!(with_loss[row].is_nan(), "{}", device.info());
                assert!(with[columns].iter().all(|x| x.is_nan()), "{}", device.info());
            } else {
                assert_eq!(with_loss[row], without_loss[row], "{}", device.info());
                assert_eq!(with[columns.clone()], without[columns], "{}", device.info());
            }
        }
    }
}

#[test]
fn nothing_is_written_over_what_was_refused() {
    let q = [0.5f32, 0.5, 0.0, 0.0, 2.0, 1.0];
    for device in common::devices() {
        let mut x = [1.0f32, 2.0, 3.0, 1.0, 2.0, 5.0];
        let over = MatrixMut::new(&mut x[..], 2, CLASSES).expect("two rows");
        let op = CrossEntropy::new().with_gradient();
        let result = device.run_in_place(&op, over, Labels::new(matrix(&q)));
        assert!(matches!(result, Err(Error::InvalidInput { what: "targets", .. })), "{result:?}");
        assert_eq!(x, [1.0, 2.0, 3.0, 1.0, 2.0, 5.0], "{}", device.info());
    }
}

/// In windows, rows are counted in the batch; and in matrices that threads share, from the start.
#[test]
fn rows_are_those_of_the_batch() {
    let (rows, bad) = (60_000, 41_234);
    let mut q = vec![0.25f32; rows * CLASSES];
    (q[bad * CLASSES + 2], q[(bad + 9000) * CLASSES]) = (1.5, -1.0);
    let x = vec![0.5f32; rows * CLASSES];
    let wanted = format!("targets: 1.5 of row {bad}, column 2");
    for device in common::devices() {
        let op = CrossEntropy::new();
        let whole = device.run(&op, CrossEntropyInput::new(matrix(&x), matrix(&q)));
        let text = whole.expect_err("1.5 is no probability").to_string();
        assert!(text.contains(&wanted), "{text}");

        let window = 7000;
        let mut stream = device.stream(&op, Batch::new(rows, CLASSES, window)).expect("sound");
        let error = (0..rows).step_by(window).find_map(|first| {
            let elements = first * CLASSES..rows.min(first + window) * CLASSES;
            let (x, q) = (matrix(&x[elements.clone()]), matrix(&q[elements]));
            stream.push(CrossEntropyInput::new(x, q)).err()
        });
        let text = error.expect("1.5 is no probability").to_string();
        assert!(text.contains(&wanted), "{text}");
    }
}
