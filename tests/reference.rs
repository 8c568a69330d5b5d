//! The definition itself: hand values, finite differences, identities, the table of special
//! values. No GPU needed.

mod common;

use common::cases::Rng;
use common::reference;
use surprisal::{
    Array, CrossEntropy, CrossEntropyInput, CrossEntropyOutput, Matrix, Reduction, Upstream,
};

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;

fn run(op: &CrossEntropy, logits: &[f64], targets: &[i64]) -> CrossEntropyOutput {
    let matrix = Matrix::new(logits, targets.len(), logits.len() / targets.len().max(1));
    let input = CrossEntropyInput::new(matrix.expect("whole rows"), targets);
    reference::cross_entropy(&op.clone().with_gradient(), &input).expect("the input is sound")
}

fn by_row() -> CrossEntropy {
    CrossEntropy::new().with_reduction(Reduction::None)
}

fn losses(output: &CrossEntropyOutput) -> Vec<f64> {
    output.loss.each().map(Array::to_f64).expect("by rows")
}

fn gradient(output: &CrossEntropyOutput) -> Vec<f64> {
    output.dlogits.as_ref().map(Array::to_f64).expect("asked for")
}

fn assert_near(got: f64, want: f64, relative: f64) {
    assert!((got - want).abs() <= relative * want.abs(), "got {got:e}, want {want:e}");
}

#[test]
fn hand_values() {
    // Two equal logits: -log(1/2), and half a step towards the target.
    let output = run(&CrossEntropy::new(), &[3.0, 3.0], &[0]);
    assert_near(output.loss.reduced().expect("a mean"), std::f64::consts::LN_2, 1e-15);
    assert_eq!(gradient(&output), [-0.5, 0.5]);
    // Odds of three to one.
    let output = run(&CrossEntropy::new(), &[0.0, 3f64.ln()], &[0]);
    assert_near(output.loss.reduced().expect("a mean"), 4f64.ln(), 1e-15);
    assert_near(gradient(&output)[0], -0.75, 1e-15);
    // One class: certain.
    let output = run(&by_row(), &[7.0], &[0]);
    assert_eq!((losses(&output), gradient(&output)), (vec![0.0], vec![0.0]));
}

#[test]
fn a_confident_row_keeps_its_digits() {
    let output = run(&by_row(), &[0.0, 30.0, -5.0], &[1]);
    let rest = (-30f64).exp() + (-35f64).exp();
    assert_near(losses(&output)[0], rest.ln_1p(), 1e-15);
    assert_near(gradient(&output)[1], -rest / (1.0 + rest), 1e-15);
}

#[test]
fn a_common_offset_changes_nothing() {
    let row = [0.25, -1.5, 3.0, 2.0];
    let shifted: Vec<f64> = row.iter().map(|x| x + 1e6).collect();
    let (a, b) = (run(&by_row(), &row, &[1]), run(&by_row(), &shifted, &[1]));
    assert_eq!(losses(&a), losses(&b));
    assert_eq!(gradient(&a), gradient(&b));
}

#[test]
fn reductions() {
    let logits = [1.0, 2.0, 0.5, -1.0, 4.0, 4.0];
    let targets = [0, -100, 1];
    let rows = losses(&run(&by_row(), &logits, &targets));
    assert_eq!(rows[1], 0.0);
    let sum = run(&by_row().with_reduction(Reduction::Sum), &logits, &targets);
    let mean = run(&CrossEntropy::new(), &logits, &targets);
    assert_eq!(sum.loss.reduced(), Some(rows.iter().sum()));
    assert_eq!(mean.loss.reduced(), sum.loss.reduced().map(|sum| sum / 2.0));
    assert_eq!((mean.kept_rows, mean.total_weight), (2, 2.0));
    for (mean, sum) in gradient(&mean).iter().zip(gradient(&sum)) {
        assert_near(*mean, sum / 2.0, 1e-15);
    }
}

#[test]
fn special_values() {
    // One row each: logits, target, loss, gradient.
    let table: &[(&[f64], i64, f64, &[f64])] = &[
        (&[-INF, 0.0, 0.0], 1, std::f64::consts::LN_2, &[0.0, -0.5, 0.5]),
        (&[-INF, 0.0, 0.0], 0, INF, &[-1.0, 0.5, 0.5]),
        (&[-INF, -INF, -INF], 0, NAN, &[NAN, NAN, NAN]),
        (&[INF, 0.0, 0.0], 1, NAN, &[NAN, NAN, NAN]),
        (&[INF, 0.0, 0.0], 0, NAN, &[NAN, NAN, NAN]),
        (&[NAN, 0.0, 0.0], 1, NAN, &[NAN, NAN, NAN]),
        (&[NAN, INF, -INF], -100, 0.0, &[0.0, 0.0, 0.0]),
        (&[f64::MAX, 0.0, -f64::MAX], 0, 0.0, &[0.0, 0.0, 0.0]),
        (&[f64::MAX, 0.0, -f64::MAX], 1, f64::MAX, &[1.0, -1.0, 0.0]),
        (&[f64::MAX, 0.0, -f64::MAX], 2, INF, &[1.0, 0.0, -1.0]),
    ];
    for (logits, target, loss, dlogits) in table {
        let output = run(&by_row(), logits, &[*target]);
        let same = |a: f64, b: f64| a.to_bits() == b.to_bits() || (a - b).abs() < 1e-15 || a == b;
        let nan_or_same = |a: f64, b: f64| a.is_nan() && b.is_nan() || same(a, b);
        assert!(nan_or_same(losses(&output)[0], *loss), "{logits:?}: {:?}", losses(&output));
        for (got, want) in gradient(&output).iter().zip(*dlogits) {
            assert!(nan_or_same(*got, *want), "{logits:?}: {:?}", gradient(&output));
        }
    }
    let lse = |row: &[f64]| reference::logsumexp(Matrix::new(row, 1, row.len()).expect("a row"))[0];
    assert_eq!(lse(&[-INF, -INF]), -INF);
    assert_eq!(lse(&[INF, INF, 0.0]), INF);
    assert!(lse(&[INF, NAN]).is_nan());
}

#[test]
fn empty_batches_and_batches_without_kept_rows() {
    let empty = Matrix::new(&[0f64; 0], 0, 5).expect("no rows");
    for (reduction, loss) in [(Reduction::Mean, NAN), (Reduction::Sum, 0.0)] {
        let op = CrossEntropy::new().with_reduction(reduction).with_gradient();
        let input = CrossEntropyInput::new(empty, &[0i64; 0]);
        let output = reference::cross_entropy(&op, &input).expect("nothing is wrong with it");
        let got = output.loss.reduced().expect("reduced");
        assert!(got == loss || got.is_nan() && loss.is_nan());
        assert!(output.dlogits.expect("asked for").is_empty());
    }
    let ignored = run(&CrossEntropy::new(), &[1.0, 2.0, NAN, 4.0], &[-100, -100]);
    assert!(ignored.loss.reduced().expect("a mean").is_nan());
    assert_eq!(gradient(&ignored), [0.0; 4]);
    assert_eq!(ignored.lse.to_f64(), [0.0; 2]);
}

#[test]
fn ignore_index_may_be_a_class_or_nothing() {
    let logits = [1.0, 2.0, 3.0, 4.0];
    let output = run(&by_row().with_ignore_index(1), &logits, &[1, 0]);
    assert_eq!((losses(&output)[0], output.kept_rows), (0.0, 1));
    let matrix = Matrix::new(&logits, 2, 2).expect("two rows");
    let input = CrossEntropyInput::new(matrix, &[-100i64, 0]);
    let op = by_row().with_ignore_index(None);
    assert!(reference::cross_entropy(&op, &input).is_err(), "-100 is then out of range");
}

/// Central differences of `f` at `x`, for every coordinate.
fn differences(x: &[f64], f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let h = 1e-5;
    let mut x = x.to_vec();
    (0..x.len())
        .map(|i| {
            let middle = x[i];
            x[i] = middle + h;
            let above = f(&x);
            x[i] = middle - h;
            let below = f(&x);
            x[i] = middle;
            (above - below) / (2.0 * h)
        })
        .collect()
}

fn assert_gradient(got: &[f64], want: &[f64]) {
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(want) {
        assert!((got - want).abs() < 1e-8, "gradient {got}, differences {want}");
    }
}

fn normal(n: usize, seed: u64) -> Vec<f64> {
    let mut rng = Rng::new(seed);
    (0..n).map(|_| 2.0 * rng.normal()).collect()
}

#[test]
fn cross_entropy_gradient_by_finite_differences() {
    let (rows, classes) = (4, 7);
    let logits = normal(rows * classes, 1);
    let targets = [3i64, -100, 0, 6];
    let dloss = normal(rows, 2);
    for reduction in [Reduction::None, Reduction::Sum, Reduction::Mean] {
        let op = CrossEntropy::new().with_reduction(reduction).with_gradient();
        let upstream = match reduction {
            Reduction::None => Upstream::Each((&dloss).into()),
            _ => Upstream::Scalar(1.75),
        };
        let output = |logits: &[f64]| {
            let matrix = Matrix::new(logits, rows, classes).expect("its shape");
            let input = CrossEntropyInput::new(matrix, &targets).with_upstream(upstream);
            reference::cross_entropy(&op, &input).expect("the input is sound")
        };
        let objective = |logits: &[f64]| {
            let output = output(logits);
            match output.loss.reduced() {
                Some(loss) => 1.75 * loss,
                None => losses(&output).iter().zip(&dloss).map(|(l, g)| l * g).sum(),
            }
        };
        assert_gradient(&gradient(&output(&logits)), &differences(&logits, objective));
    }
}

fn three_by_six(values: &[f64]) -> Matrix<'_> {
    Matrix::new(values, 3, 6).expect("its shape")
}

#[test]
fn transform_gradients_by_finite_differences() {
    let (rows, classes) = (3, 6);
    let logits = normal(rows * classes, 3);
    let dy = normal(rows * classes, 4);
    let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };

    let probs = reference::softmax(three_by_six(&logits));
    let got =
        reference::softmax_backward(three_by_six(&probs), three_by_six(&dy)).expect("same shapes");
    assert_gradient(
        &got,
        &differences(&logits, |x| dot(&reference::softmax(three_by_six(x)), &dy)),
    );

    let log_probs = reference::log_softmax(three_by_six(&logits));
    let got = reference::log_softmax_backward(three_by_six(&log_probs), three_by_six(&dy))
        .expect("same shapes");
    assert_gradient(
        &got,
        &differences(&logits, |x| dot(&reference::log_softmax(three_by_six(x)), &dy)),
    );

    let dlse = &dy[..rows];
    let got = reference::logsumexp_backward(three_by_six(&logits), dlse).expect("same shapes");
    assert_gradient(
        &got,
        &differences(&logits, |x| dot(&reference::logsumexp(three_by_six(x)), dlse)),
    );
}

#[test]
fn identities() {
    let logits = normal(5 * 9, 5);
    let matrix = Matrix::new(&logits, 5, 9).expect("its shape");
    let (probs, log_probs) = (reference::softmax(matrix), reference::log_softmax(matrix));
    for (p, lp) in probs.iter().zip(&log_probs) {
        assert_near(p.ln(), *lp, 1e-14);
    }
    for row in probs.chunks(9) {
        assert_near(row.iter().sum(), 1.0, 1e-15);
    }
    let output = run(&by_row(), &logits, &[0, 1, 2, 3, 4]);
    for row in gradient(&output).chunks(9) {
        assert!(row.iter().sum::<f64>().abs() < 1e-15, "a row's gradient sums to 0");
    }
    for (i, loss) in losses(&output).iter().enumerate() {
        assert_eq!(*loss, -log_probs[i * 9 + i]);
    }
}
