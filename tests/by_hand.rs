//! Numbers of the definition that were worked out by hand, where an option or a branch decides. No GPU
//! needed.

#[path = "common/reference.rs"]
mod reference;

use std::f64::consts::{LN_2, LOG2_E};

use surprisal::{
    Array, BinaryCrossEntropy, CrossEntropy, CrossEntropyInput, CrossEntropyOutput, Device,
    DivergenceInput, DivergenceOutput, Elementwise, ElementwiseInput, ElementwiseLoss,
    ElementwiseOutput, Entropy, Focal, InputForm, KlDivergence, LinearCrossEntropy,
    LinearCrossEntropyInput, Matrix, Reduction, SoftmaxBackward, SoftmaxBackwardInput, Surprisal,
    Unit,
};

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;

fn rows(values: &[f64], classes: usize) -> Matrix<'_> {
    Matrix::new(values, values.len() / classes, classes).expect("whole rows")
}

fn run(op: &CrossEntropy, x: &[f64], targets: &[i64]) -> CrossEntropyOutput {
    let input = CrossEntropyInput::new(rows(x, x.len() / targets.len()), targets);
    reference::cross_entropy(&op.clone().with_gradient(), &input).expect("it is sound")
}

fn by_row() -> CrossEntropy {
    CrossEntropy::new().with_reduction(Reduction::None)
}

fn each(loss: &surprisal::Loss) -> Vec<f64> {
    loss.each().expect("by rows").to_f64()
}

fn values(array: Option<&Array>) -> Vec<f64> {
    array.expect("asked for").to_f64()
}

fn assert_near(got: &[f64], want: &[f64]) {
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(want) {
        let is_near = (got - want).abs() <= 1e-14 * want.abs();
        assert!(is_near || got.is_nan() && want.is_nan(), "got {got:e}, want {want:e}");
    }
}

#[test]
fn metrics_by_hand() {
    let metrics = |op: CrossEntropy, x: &[f64], targets: &[i64]| {
        run(&op.with_metrics(), x, targets).metrics.expect("asked for")
    };
    // The first of two that are largest; the last; an ignored row; NaN is passed over.
    let x = [1.0, 3.0, 3.0, 0.0, -1.0, 2.0, 9.0, 0.0, 0.0, NAN, -4.0, -INF];
    let found = metrics(CrossEntropy::new(), &x, &[1, 0, -100, 0]);
    assert_eq!((&found.argmax[..], found.correct), (&[1, 2, -1, 1][..], 1));
    assert_eq!(found.accuracy, 1.0 / 3.0);
    assert_eq!(metrics(CrossEntropy::new(), &[-INF, NAN, -INF], &[0]).argmax, [0]);
    // Probabilities 3/4 and 1/2 of the targets: the mean of -log is that of 4/3 and 2.
    let found = metrics(CrossEntropy::new(), &[3f64.ln(), 0.0, 0.0, 0.0], &[0, 1]);
    assert_near(&[found.perplexity], &[(8f64 / 3.0).sqrt()]);

    let best =
        |scale| metrics(CrossEntropy::new().with_logit_scale(scale), &[-1.0, 3.0], &[0]).argmax;
    assert_eq!([best(2.0), best(-2.0), best(0.0)], [[1], [0], [0]], "scaled by 0 all are one");
}

#[test]
fn logits_are_scaled() {
    let output = run(&by_row().with_logit_scale(2.0), &[0.0, 3f64.sqrt().ln()], &[0]);
    assert_near(&each(&output.loss), &[4f64.ln()]);
    assert_near(&values(output.dlogits.as_ref()), &[-1.5, 1.5]);
    assert_near(&output.lse.to_f64(), &[4f64.ln()]);
}

#[test]
fn the_squared_log_sum_exp_is_added() {
    let (lse, plain) = (4f64.ln(), (4f64 / 3.0).ln());
    let output = run(&by_row().with_z_loss(0.25), &[3f64.ln(), 0.0], &[0]);
    assert_near(&each(&output.loss), &[plain + 0.25 * lse * lse]);
    // Its gradient is 2 z lse p.
    let more = 0.5 * lse;
    let want = [-0.25 + more * 0.75, 0.25 + more * 0.25];
    assert_near(&values(output.dlogits.as_ref()), &want);
}

#[test]
fn small_probabilities_are_clamped() {
    let op = by_row().with_form(InputForm::Probs).with_clamp(0.125);
    let run = |p: f64| {
        let output = run(&op, &[p, 0.5], &[0]);
        (each(&output.loss)[0], values(output.dlogits.as_ref())[0])
    };
    assert_eq!(run(0.25), (-0.25f64.ln(), -4.0));
    assert_eq!(run(0.125), (-0.125f64.ln(), -8.0), "the bound itself has a gradient");
    assert_eq!(run(0.0625), (-0.125f64.ln(), 0.0), "below it there is none");
}

#[test]
fn kept_rows_are_counted_and_weighed() {
    let op = CrossEntropy::new().with_class_weights([0.5, 2.0]);
    let output = run(&op, &[0.0; 8], &[0, 1, -100, 1]);
    assert_eq!((output.kept_rows, output.total_weight), (3, 4.5));
    assert_near(&[output.loss.reduced().expect("a mean")], &[LN_2]);
    // Weights of 1 and -1 leave nothing to divide by, though the sum is not 0.
    let op = CrossEntropy::new().with_class_weights([1.0, -1.0]);
    let output = run(&op, &[0.0, 1.0, 2.0, 0.0], &[0, 1]);
    assert!(output.loss.reduced().expect("a mean").is_nan());
}

/// Neither a class weight nor a share of 0 makes a loss of a row that has none.
#[test]
fn a_row_without_a_softmax_has_no_loss_whatever_it_weighs() {
    let op = by_row().with_class_weights([0.0, 1.0]);
    for bad in [[NAN, 0.0], [INF, 0.0], [-INF, -INF]] {
        let output = run(&op, &bad, &[0]);
        assert_near(&each(&output.loss), &[NAN]);
        assert_near(&values(output.dlogits.as_ref()), &[NAN, NAN]);
    }
}

#[test]
fn a_normalizer_divides_a_mean_alone() {
    let op = CrossEntropy::new().with_normalizer(8.0);
    let output = run(&op, &[0.0; 4], &[0, 1]);
    assert_near(&[output.loss.reduced().expect("a mean")], &[2.0 * LN_2 / 8.0]);
    let input = CrossEntropyInput::new(rows(&[0.0; 4], 2), &[0i64, 1]);
    for reduction in [Reduction::Sum, Reduction::None] {
        let op = op.clone().with_reduction(reduction);
        assert!(reference::cross_entropy(&op, &input).is_err(), "{reduction}");
    }
}

/// Half of the target's share is spread over both classes, each with its own weight.
#[test]
fn smoothing_weighs_every_class() {
    let op = by_row().with_label_smoothing(0.5).with_class_weights([2.0, 4.0]);
    let output = run(&op, &[0.0, 0.0], &[0]);
    assert_near(&each(&output.loss), &[(0.5 * 2.0 + 0.25 * (2.0 + 4.0)) * LN_2]);
}

#[test]
fn focal_loss_by_hand() {
    // p = 3/4 and 1/4, gamma 2: what modulates is 1/16 and 9/16.
    let x = [3f64.ln(), 0.0, NAN, 0.0, 3f64.ln(), 0.0];
    let op = Focal::new().with_gamma(2.0).with_alpha([0.5, 3.0]).with_unit(Unit::Bits);
    let op = op.with_reduction(Reduction::None).with_gradient();
    let input = CrossEntropyInput::new(rows(&x, 2), &[0i64, 0, 1]);
    let output = reference::focal(&op, &input).expect("it is sound");
    let nll = [(4f64 / 3.0).ln(), 4f64.ln()];
    let losses = [0.5 / 16.0 * nll[0] * LOG2_E, NAN, 3.0 * 9.0 / 16.0 * nll[1] * LOG2_E];
    assert_near(&each(&output.loss), &losses);
    // alpha (m^2 + 2 p m nll) with m = 1 - p, times p - [j = y].
    let of = |alpha: f64, p: f64, nll: f64| {
        let miss = 1.0 - p;
        alpha * LOG2_E * miss * miss.mul_add(miss, 2.0 * p * miss * nll)
    };
    let (first, last) = (of(0.5, 0.75, nll[0]), of(3.0, 0.25, nll[1]));
    assert_near(&values(output.dlogits.as_ref()), &[-first, first, NAN, NAN, last, -last]);
}

fn divergence(op: KlDivergence, teacher: &[f64], student: &[f64]) -> DivergenceOutput {
    let op = op.with_reduction(Reduction::None).with_gradient();
    let input = DivergenceInput::new(rows(teacher, 2), rows(student, 2));
    reference::kl_divergence(&op, &input).expect("it is sound")
}

#[test]
fn divergences_keep_their_digits_where_both_are_sure() {
    let output = divergence(KlDivergence::new(), &[0.0, -50.0], &[0.0, -51.0]);
    let miss = |x: f64| x.exp() / (1.0 + x.exp());
    let pull = miss(-50.0) - miss(-51.0);
    assert_near(&values(output.dstudent.as_ref()), &[pull, -pull]);
}

#[test]
fn a_teacher_need_not_sum_to_1() {
    let op = KlDivergence::new().with_teacher(InputForm::Probs);
    let output = divergence(op, &[0.75, 0.5], &[3f64.ln(), 0.0]);
    assert_near(&values(output.dstudent.as_ref()), &[0.75 * 1.25 - 0.75, 0.25 * 1.25 - 0.5]);
    assert_near(&each(&output.loss), &[0.5 * 2f64.ln()]);
}

#[test]
fn a_temperature_divides_both() {
    let op = KlDivergence::new().with_temperature(2.0).with_unit(Unit::Bits);
    // Three to one against one to one.
    let output = divergence(op, &[9f64.ln(), 0.0], &[0.0, 0.0]);
    assert_near(&each(&output.loss), &[LOG2_E * (0.75 * 1.5f64.ln() + 0.25 * 0.5f64.ln())]);
    let pull = LOG2_E * 0.25 / 2.0;
    assert_near(&values(output.dstudent.as_ref()), &[-pull, pull]);
}

/// A teacher that gives every class nothing has no term that would read the student.
#[test]
fn a_student_without_a_softmax_has_no_divergence() {
    let op = KlDivergence::new().with_teacher(InputForm::Probs);
    let output = divergence(op, &[0.0, 0.0], &[NAN, 0.0]);
    assert_near(&each(&output.loss), &[NAN]);
    assert_near(&values(output.dstudent.as_ref()), &[NAN, NAN]);
}

fn elements(loss: ElementwiseLoss, x: &[f64], y: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let op = Elementwise::new(loss).with_reduction(Reduction::None).with_gradient();
    let input = ElementwiseInput::new(rows(x, x.len()), rows(y, y.len()));
    of_elements(&reference::elementwise(&op, &input).expect("it is sound"))
}

fn of_elements(output: &ElementwiseOutput) -> (Vec<f64>, Vec<f64>) {
    (each(&output.loss), values(output.dinput.as_ref()))
}

#[test]
fn huber_is_a_parabola_between_two_lines() {
    let (losses, slopes) =
        elements(ElementwiseLoss::Huber { delta: 2.0 }, &[0.5, -0.5, 2.0, 3.0, -3.0], &[0.0; 5]);
    assert_near(&losses, &[0.125, 0.125, 2.0, 4.0, 4.0]);
    assert_near(&slopes, &[0.5, -0.5, 2.0, 2.0, -2.0]);
}

#[test]
fn hinge_ends_at_its_margin() {
    let (losses, slopes) =
        elements(ElementwiseLoss::Hinge, &[0.25, 2.0, 1.0, -1.0, NAN], &[1.0, 1.0, 1.0, -1.0, 1.0]);
    assert_near(&losses, &[0.75, 0.0, 0.0, 0.0, NAN]);
    assert_near(&slopes, &[-1.0, 0.0, 0.0, 0.0, NAN]);
}

/// Each column has its own weight of the part that is 1.
#[test]
fn positive_weights_go_by_column() {
    let op = BinaryCrossEntropy::new().with_pos_weight([2.0, 3.0]);
    let op = op.with_reduction(Reduction::None).with_gradient();
    let (x, y) = ([0.0; 4], [1.0, 1.0, 1.0, 0.0]);
    let input = ElementwiseInput::new(rows(&x, 2), rows(&y, 2));
    let output = reference::binary_cross_entropy(&op, &input).expect("it is sound");
    let (losses, slopes) = of_elements(&output);
    assert_near(&losses, &[2.0 * LN_2, 3.0 * LN_2, 2.0 * LN_2, LN_2]);
    assert_near(&slopes, &[-1.0, -1.5, -1.0, 0.5]);
}

#[test]
fn surprisal_and_entropy_in_bits() {
    let x = [3f64.ln(), 0.0];
    assert_near(&reference::surprisal(rows(&x, 2)), &[(4f64 / 3.0).ln(), 4f64.ln()]);
    let device = Device::reference();
    let bits = device.run(&Surprisal::new().with_unit(Unit::Bits), rows(&x, 2));
    assert_near(&bits.expect("it is sound").to_f64(), &[(4f64 / 3.0).log2(), 2.0]);
    let bits = device.run(&Entropy::new().with_unit(Unit::Bits), rows(&[0.0; 4], 4));
    assert_near(&bits.expect("it is sound").to_f64(), &[2.0]);
}

#[test]
fn gradients_from_above_have_their_shape_and_type() {
    let x = [0.5f64, 0.5, 0.25, 0.75];
    for short in [&x[..1], &[]] {
        assert!(reference::logsumexp_backward(rows(&x, 2), short).is_err());
        assert!(reference::entropy_backward(rows(&x, 2), short).is_err());
    }
    assert!(reference::softmax_backward(rows(&x, 2), rows(&x, 4)).is_err());
    assert!(reference::log_softmax_backward(rows(&x, 2), rows(&x, 4)).is_err());

    let narrow = [1.0f32; 4];
    let narrow = Matrix::new(&narrow, 2, 2).expect("two rows");
    let run = |probs, dprobs| {
        Device::reference().run(&SoftmaxBackward, SoftmaxBackwardInput::new(probs, dprobs))
    };
    assert!(run(rows(&x, 2), rows(&x, 2)).is_ok() && run(narrow, narrow).is_ok());
    assert!(run(rows(&x, 2), narrow).is_err() && run(narrow, rows(&x, 2)).is_err());
}

#[test]
fn rows_need_classes_and_no_rows_need_none() {
    let op = LinearCrossEntropy::new(CrossEntropy::new());
    let nothing: [f64; 0] = [];
    let weight = Matrix::new(&nothing, 0, 2).expect("no classes");
    let run = |hidden: &[f64], targets: &[i64]| {
        let hidden = Matrix::new(hidden, targets.len(), 2).expect("whole rows");
        let input = LinearCrossEntropyInput::new(hidden, weight, targets);
        reference::linear_cross_entropy(&op, &input).map(|output| output.kept_rows)
    };
    assert_eq!(run(&[], &[]), Ok(0));
    assert!(run(&[1.0, 2.0], &[-100]).is_err());
}
