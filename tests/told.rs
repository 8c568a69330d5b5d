//! What operations tell of themselves, and how they say what is wrong. No GPU needed.

#[path = "common/reference.rs"]
mod reference;

use surprisal::{
    BinaryCrossEntropy, BinaryFocal, BinaryLabels, CrossEntropy, CrossEntropyInput,
    DivergenceInput, Elementwise, ElementwiseInput, ElementwiseLoss, Entropy, Error, Focal,
    InputForm, JsDivergence, KlDivergence, LinearCrossEntropy, Matrix, PosWeight, Reduction,
    Targets, Unit,
};

#[test]
fn cross_entropy_tells_its_options() {
    let op = CrossEntropy::new();
    assert!(!op.has_gradient() && !op.has_target_gradient() && !op.has_metrics());
    assert_eq!((op.ignore_index(), op.class_weights()), (Some(-100), None));
    assert_eq!((op.label_smoothing(), op.z_loss(), op.logit_scale()), (0.0, 0.0, 1.0));
    assert_eq!((op.softcap(), op.normalizer(), op.clamp()), (None, None, 1e-10));
    assert_eq!((op.form(), op.unit()), (InputForm::Logits, Unit::Nats));

    let op = op
        .with_gradient()
        .with_target_gradient()
        .with_metrics()
        .with_ignore_index(7)
        .with_class_weights([0.5, 2.5])
        .with_label_smoothing(0.25)
        .with_z_loss(0.125)
        .with_logit_scale(3.0)
        .with_softcap(30.0)
        .with_normalizer(9.0)
        .with_clamp(1e-3)
        .with_form(InputForm::Probs)
        .with_unit(Unit::Bits);
    assert!(op.has_gradient() && op.has_target_gradient() && op.has_metrics());
    assert_eq!((op.ignore_index(), op.class_weights()), (Some(7), Some(&[0.5, 2.5][..])));
    assert_eq!((op.label_smoothing(), op.z_loss(), op.logit_scale()), (0.25, 0.125, 3.0));
    assert_eq!((op.softcap(), op.normalizer(), op.clamp()), (Some(30.0), Some(9.0), 1e-3));
    assert_eq!((op.form(), op.unit()), (InputForm::Probs, Unit::Bits));
}

#[test]
fn the_other_losses_tell_their_options() {
    let op = Focal::new().with_gamma(1.5).with_alpha([0.25, 0.75]).with_ignore_index(None);
    assert_eq!((op.gamma(), op.alpha()), (1.5, Some(&[0.25, 0.75][..])));
    assert_eq!((op.ignore_index(), Focal::new().ignore_index()), (None, Some(-100)));

    let op = BinaryFocal::new().with_gamma(1.5).with_alpha(0.25);
    let op = op.with_labels(BinaryLabels::PlusMinus);
    assert_eq!((op.gamma(), op.alpha(), op.labels()), (1.5, Some(0.25), BinaryLabels::PlusMinus));
    assert_eq!((BinaryFocal::new().gamma(), BinaryFocal::new().alpha()), (2.0, None));

    let op = BinaryCrossEntropy::new().with_form(InputForm::Probs).with_pos_weight([2.0, 3.0]);
    let op = op.with_labels(BinaryLabels::PlusMinus);
    assert_eq!((op.form(), op.labels()), (InputForm::Probs, BinaryLabels::PlusMinus));
    assert_eq!(op.pos_weight(), Some(&PosWeight::Columns(vec![2.0, 3.0])));
    let op = op.with_pos_weight_of_all(3.0);
    assert_eq!(op.pos_weight(), Some(&PosWeight::All(3.0)));
    assert_eq!(BinaryCrossEntropy::new().pos_weight(), None);

    let loss = ElementwiseLoss::Huber { delta: 0.5 };
    assert_eq!(Elementwise::new(loss).loss(), loss);

    let op = KlDivergence::new().with_temperature(2.0).with_teacher(InputForm::Probs);
    assert_eq!((op.temperature(), op.teacher()), (2.0, InputForm::Probs));
    assert!(op.with_reverse().is_reverse() && !op.is_reverse());
    let op = JsDivergence::new().with_temperature(2.0).with_teacher(InputForm::LogProbs);
    assert_eq!((op.temperature(), op.teacher()), (2.0, InputForm::LogProbs));
    assert_eq!(Entropy::new().with_unit(Unit::Hartleys).unit(), Unit::Hartleys);
}

#[test]
fn a_linear_layer_tells_its_gradients() {
    let new = || LinearCrossEntropy::new(CrossEntropy::new().with_z_loss(0.5));
    assert_eq!((new().loss().z_loss(), new().scratch_bytes()), (0.5, 256 << 20));
    assert_eq!(new().with_scratch_bytes(99).scratch_bytes(), 99);
    let told = |op: LinearCrossEntropy| {
        assert_eq!(op.loss().z_loss(), 0.5);
        let each = [op.has_hidden_gradient(), op.has_weight_gradient(), op.has_bias_gradient()];
        assert_eq!(op.has_gradient(), each.contains(&true));
        each
    };
    assert_eq!(told(new()), [false, false, false]);
    assert_eq!(told(new().with_hidden_gradient()), [true, false, false]);
    assert_eq!(told(new().with_weight_gradient()), [false, true, false]);
    assert_eq!(told(new().with_bias_gradient()), [false, false, true]);
    assert_eq!(told(new().with_gradient()), [true, true, true]);
}

#[test]
fn names_are_those_of_the_options() {
    let reductions = [Reduction::None, Reduction::Mean, Reduction::Sum];
    assert_eq!(reductions.map(|reduction| reduction.to_string()), ["none", "mean", "sum"]);
    let units = [Unit::Nats, Unit::Bits, Unit::Hartleys];
    assert_eq!(units.map(|unit| unit.to_string()), ["nats", "bits", "hartleys"]);
    let forms = [InputForm::Logits, InputForm::LogProbs, InputForm::Probs];
    assert_eq!(forms.map(|form| form.to_string()), ["logits", "log-probs", "probs"]);
}

#[test]
fn targets_know_how_many_they_are() {
    let probs = Matrix::new(&[0.5f32, 0.5], 1, 2).expect("a row");
    let none: [i64; 0] = [];
    let counts = |targets: Targets<'_>| (targets.len(), targets.is_empty());
    assert_eq!(counts(Targets::from(&[1i32, 2])), (2, false));
    assert_eq!(counts(Targets::from(&[1i64, 2, 3])), (3, false));
    assert_eq!(counts(Targets::from(probs)), (1, false));
    assert_eq!(counts(Targets::from(&none)), (0, true));
}

#[test]
fn weights_by_inverse_frequency() {
    let new = || CrossEntropy::new().with_ignore_index(9);
    // Four rows are kept: three of the first class, one of the third.
    let op = new().with_inverse_frequency_weights(&[0i64, 0, 9, 0, 2], 3).expect("classes");
    assert_eq!(op.class_weights(), Some(&[4.0 / 9.0, 0.0, 4.0 / 3.0][..]));
    let error = new().with_inverse_frequency_weights(&[0i64, 9, 3], 3).expect_err("no class");
    assert_eq!(error, Error::TargetOutOfRange { row: 2, value: 3, classes: 3 });
}

/// What cross-entropy says of an option.
fn said(op: &CrossEntropy) -> String {
    let matrix = Matrix::new(&[0.0f32; 2], 1, 2).expect("a row");
    let result = reference::cross_entropy(op, &CrossEntropyInput::new(matrix, &[0i64]));
    result.map_or_else(|error| error.to_string(), |_| String::new())
}

#[test]
fn a_positive_number_is_one_in_f32() {
    let softcap = |x: f64| said(&CrossEntropy::new().with_softcap(x));
    for x in [1e-30, 0.5, 3e38] {
        assert_eq!(softcap(x), "", "{x} is one");
    }
    // As f32 they are subnormal, 0 and infinite.
    for x in [1e-40, 1e-60, 1e39, 0.0, -1.0, f64::NAN] {
        assert!(softcap(x).contains("positive number that f32 can hold"), "{x}: {}", softcap(x));
    }
}

#[test]
fn a_number_from_0_up_is_one_in_f32() {
    let matrix = Matrix::new(&[0.0f32; 2], 1, 2).expect("a row");
    let gamma = |x: f64| {
        let input = CrossEntropyInput::new(matrix, &[0i64]);
        reference::focal(&Focal::new().with_gamma(x), &input).is_ok()
    };
    assert_eq!([0.0, 1e-40, 2.0, 3e38].map(gamma), [true; 4]);
    assert_eq!([-1e-9, 1e39, f64::INFINITY, f64::NAN].map(gamma), [false; 4]);
}

#[test]
fn a_share_includes_both_ends() {
    let smoothing = |x: f64| said(&CrossEntropy::new().with_label_smoothing(x)).is_empty();
    assert_eq!([0.0, 0.5, 1.0].map(smoothing), [true; 3]);
    assert_eq!([-0.01, 1.01, f64::NAN].map(smoothing), [false; 3]);
}

/// Numbers are shown as a reader writes them: no 300 digits, and no exponent where none is needed.
#[test]
fn wrong_numbers_are_shown_short() {
    let smoothing = |x: f64| said(&CrossEntropy::new().with_label_smoothing(x));
    for (x, shown) in [
        (-0.5, "-0.5 is not"),
        (123_456.0, "123456 is not"),
        (-1e-7, "-1e-7 is not"),
        (2e300, "2e300 is not"),
        (f64::INFINITY, "inf is not"),
        (f64::NAN, "NaN is not"),
    ] {
        assert!(smoothing(x).contains(shown), "{}", smoothing(x));
    }
    let zero = said(&CrossEntropy::new().with_softcap(0.0));
    assert!(zero.contains(" 0 is not"), "{zero}");
}

/// What is said of a matrix of probabilities.
fn said_of(probs: Matrix<'_>, targets: &[i64]) -> String {
    let op = CrossEntropy::new().with_form(InputForm::Probs);
    let result = reference::cross_entropy(&op, &CrossEntropyInput::new(probs, targets));
    result.map_or_else(|error| error.to_string(), |_| String::new())
}

#[test]
fn an_element_is_shown_in_the_digits_it_has() {
    let f32s = Matrix::new(&[0.5f32, 0.5, 0.5, 1.1], 2, 2).expect("two rows");
    let text = said_of(f32s, &[0, 0]);
    assert!(text.contains("1.1 of row 1, column 1"), "{text}");
    let f64s = Matrix::new(&[0.5f64, 0.5, 1.000_000_000_1, 0.5], 2, 2).expect("two rows");
    let text = said_of(f64s, &[0, 0]);
    assert!(text.contains("1.0000000001 of row 1, column 0"), "{text}");
}

#[test]
fn probabilities_are_minded_in_rows_that_are_kept() {
    let probs = Matrix::new(&[0.0f64, 1.0, -0.1, f64::NAN], 2, 2).expect("two rows");
    assert_eq!(said_of(probs, &[0, -100]), "", "the row with -0.1 is ignored");
    assert!(said_of(probs, &[-100, 1]).contains("-0.1 of row 1, column 0"));
    // Probability targets ignore no row.
    let targets = Matrix::new(&[0.5f64; 4], 2, 2).expect("two rows");
    let op = CrossEntropy::new().with_form(InputForm::Probs);
    assert!(reference::cross_entropy(&op, &CrossEntropyInput::new(probs, targets)).is_err());
}

#[test]
fn logarithms_of_a_teacher_are_at_most_0() {
    let student = Matrix::new(&[0.0f64; 2], 1, 2).expect("a row");
    let of = |teacher: &[f64; 2]| {
        let teacher = Matrix::new(teacher, 1, 2).expect("a row");
        let op = KlDivergence::new().with_teacher(InputForm::LogProbs);
        reference::kl_divergence(&op, &DivergenceInput::new(teacher, student)).is_ok()
    };
    assert!(of(&[0.0, f64::NEG_INFINITY]) && of(&[-0.5, -1.5]));
    assert!(!of(&[-1.0, 0.1]) && !of(&[f64::NAN, -1.0]));
}

#[test]
fn signs_are_minus_and_plus_one() {
    let input = Matrix::new(&[0.5f64, 0.5], 1, 2).expect("a row");
    let of = |labels: &[f64; 2]| {
        let labels = Matrix::new(labels, 1, 2).expect("a row");
        let op = Elementwise::new(ElementwiseLoss::Hinge);
        reference::elementwise(&op, &ElementwiseInput::new(input, labels)).is_ok()
    };
    assert!(of(&[1.0, -1.0]));
    assert!(!of(&[1.0, 0.0]) && !of(&[2.0, -1.0]) && !of(&[f64::NAN, 1.0]));
}

#[test]
fn weights_of_classes_are_finite_and_enough() {
    let weights = |weights: &[f64]| said(&CrossEntropy::new().with_class_weights(weights.to_vec()));
    assert_eq!(weights(&[0.0, 2.0]), "");
    assert!(weights(&[1.0]).contains("[2], one for each class"), "{}", weights(&[1.0]));
    let text = weights(&[1.0, 1e39]);
    assert!(text.contains("of class 1 is not finite"), "{text}");
}

#[test]
fn an_upstream_gradient_is_one_number_for_a_reduced_loss() {
    let matrix = Matrix::new(&[0.0f32; 2], 1, 2).expect("a row");
    let each = [1.0f32, 2.0];
    let run = |reduction| {
        let input = CrossEntropyInput::new(matrix, &[0i64])
            .with_upstream(surprisal::Upstream::Each((&each).into()));
        let op = CrossEntropy::new().with_reduction(reduction);
        reference::cross_entropy(&op, &input).expect_err("two numbers").to_string()
    };
    assert!(run(Reduction::Mean).contains("reduction mean has one loss"));
    assert!(run(Reduction::None).contains("[1], one for each row of logits"));
}
