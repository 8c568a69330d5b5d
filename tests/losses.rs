//! The loss family on every device, against the reference.

mod common;

use common::cases::{Case, Family, Rng};
use common::losses::{self, Divergence};
use common::suite::Outcome;
use common::{Subject, cpu_subjects, gpu_subjects};
use surprisal::{
    BinaryCrossEntropy, BinaryFocal, BinaryLabels, CrossEntropy, Elementwise, ElementwiseLoss,
    Focal, InputForm, JsDivergence, KlDivergence, LogSoftmax, Reduction, Softmax, Unit,
};

const REDUCTIONS: [Reduction; 3] = [Reduction::Mean, Reduction::Sum, Reduction::None];

fn subjects() -> Vec<Subject> {
    let mut subjects = gpu_subjects();
    subjects.extend(cpu_subjects());
    subjects.push(Subject::reference());
    subjects
}

fn assert_all(outcomes: impl IntoIterator<Item = Outcome>) {
    let failures: Vec<String> = outcomes.into_iter().filter_map(Result::err).collect();
    let shown = failures.iter().take(10).cloned().collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{} failures:\n{shown}", failures.len());
}

/// One word, an odd length, whole words, several runs, a split row.
const SHAPES: [(usize, usize); 5] = [(9, 1), (13, 4), (9, 33), (5, 256), (3, 1031)];

fn cases(families: &[Family], seed: u64) -> Vec<Case> {
    let of = |&family: &Family| SHAPES.map(|(rows, classes)| family.case(rows, classes, seed));
    families.iter().flat_map(of).collect()
}

const TELLING: [Family; 7] = [
    Family::Normal,
    Family::Confident,
    Family::Shifted,
    Family::Masked,
    Family::Sorted,
    Family::Ties,
    Family::Special,
];

fn weights(classes: usize) -> Vec<f64> {
    (0..classes).map(|j| if j % 5 == 3 { 0.0 } else { 0.25 + (j % 7) as f64 / 4.0 }).collect()
}

#[test]
fn probability_targets() {
    let subjects = subjects();
    for case in cases(&TELLING, 31).into_iter().map(losses::without_ignored) {
        let q = losses::labels(&case, 32);
        let new = CrossEntropy::new;
        let ops = [
            new(),
            new().with_class_weights(weights(case.classes)).with_metrics(),
            new().with_label_smoothing(0.2).with_unit(Unit::Bits),
            new().with_z_loss(1e-2).with_logit_scale(1.5).with_softcap(15.0).with_metrics(),
            new().with_z_loss(1e-2).with_logit_scale(-2.5).with_metrics(),
            new().with_normalizer(7.5),
        ];
        for (i, op) in ops.into_iter().enumerate() {
            let reduction = if op.normalizer().is_some() { 0 } else { i % 3 };
            let op = op.with_reduction(REDUCTIONS[reduction]);
            assert_all(subjects.iter().map(|s| losses::cross_entropy(s, &case, Some(&q), &op)));
        }
    }
}

#[test]
fn metrics_with_index_targets() {
    let subjects = subjects();
    for case in cases(&TELLING, 33) {
        let new = CrossEntropy::new;
        let ops = [
            new().with_metrics(),
            new().with_metrics().with_reduction(Reduction::None).with_unit(Unit::Hartleys),
            new()
                .with_metrics()
                .with_label_smoothing(0.1)
                .with_class_weights(weights(case.classes)),
        ];
        for op in ops {
            assert_all(subjects.iter().map(|s| losses::cross_entropy(s, &case, None, &op)));
        }
    }
}

/// A case whose logits are turned into what a form asks for.
fn in_form(case: &Case, form: InputForm) -> Case {
    let device = surprisal::Device::reference();
    let array = match form {
        InputForm::LogProbs => device.run(&LogSoftmax, case.matrix()),
        _ => device.run(&Softmax, case.matrix()),
    };
    let logits = array.expect("sound").to_f64().into_iter().map(|x| x as f32).collect();
    Case { logits, name: format!("{} as {form}", case.name), ..case.clone() }
}

#[test]
fn normalized_input() {
    let subjects = subjects();
    let families = [Family::Normal, Family::Confident, Family::Masked, Family::Ties];
    for case in cases(&families, 34) {
        for form in [InputForm::LogProbs, InputForm::Probs] {
            let op = CrossEntropy::new().with_form(form);
            let weighted = op.clone().with_class_weights(weights(case.classes));
            // Ignored rows hold NaN, which is no probability: they are not read.
            let indexed = in_form(&case, form);
            for (i, op) in
                [op.clone(), weighted.clone(), op.clone().with_metrics()].iter().enumerate()
            {
                let op = op.clone().with_reduction(REDUCTIONS[i]);
                assert_all(subjects.iter().map(|s| losses::cross_entropy(s, &indexed, None, &op)));
            }
            let labelled = in_form(&losses::without_ignored(case.clone()), form);
            let q = losses::labels(&labelled, 35);
            for (i, op) in [op.clone(), weighted, op.with_metrics()].iter().enumerate() {
                let op = op.clone().with_reduction(REDUCTIONS[i]);
                let outcome = |s| losses::cross_entropy(s, &labelled, Some(&q), &op);
                assert_all(subjects.iter().map(outcome));
            }
        }
    }
}

#[test]
fn focal() {
    let subjects = subjects();
    for case in cases(&TELLING, 36) {
        let new = |gamma| Focal::new().with_gamma(gamma);
        let ops = [
            new(2.0),
            new(0.5).with_alpha(weights(case.classes)).with_reduction(Reduction::None),
            new(0.0).with_reduction(Reduction::Sum).with_unit(Unit::Bits),
        ];
        for op in ops {
            assert_all(subjects.iter().map(|s| losses::focal(s, &case, &op)));
        }
    }
}

fn check_divergences(ops: &[Divergence], is_safe: impl Fn(&Divergence) -> bool) {
    let subjects = subjects();
    let families: Vec<Family> = TELLING.into_iter().chain([Family::Extremes]).collect();
    let (teachers, students) = (cases(&families, 37), cases(&families, 38));
    for (teacher, student) in teachers.iter().zip(&students) {
        for &op in ops {
            // A reverse divergence that overflows f32 has no gradient there, and in the shaders a
            // row's sum may overflow before it is divided.
            if !is_safe(&op) && student.name.starts_with("Extremes") {
                continue;
            }
            let outcome = |s| losses::divergence(s, &teacher.logits, student, op);
            assert_all(subjects.iter().map(outcome));
        }
    }
}

#[test]
fn kl_divergences() {
    let kl = KlDivergence::new();
    let ops = [
        kl,
        kl.with_temperature(3.0).with_reduction(Reduction::None),
        kl.with_reverse().with_reduction(Reduction::Sum),
        kl.with_reverse().with_temperature(2.0).with_unit(Unit::Bits),
        kl.with_temperature(0.4),
        kl.with_reverse().with_temperature(0.4),
    ];
    let is_plain = |op: &Divergence| matches!(op, Divergence::Kl(op) if *op == kl);
    check_divergences(&ops.map(Divergence::Kl), is_plain);
}

#[test]
fn js_divergences() {
    let js = JsDivergence::new();
    let ops = [
        js,
        js.with_temperature(0.4),
        js.with_temperature(3.0).with_reduction(Reduction::None),
        js.with_beta(0.1).with_reduction(Reduction::None),
        js.with_beta(0.75).with_temperature(2.0).with_unit(Unit::Bits),
    ];
    let is_flat = |op: &Divergence| matches!(op, Divergence::Js(op) if op.temperature() >= 1.0);
    check_divergences(&ops.map(Divergence::Js), is_flat);
}

#[test]
fn divergences_from_normalized_teachers() {
    let subjects = subjects();
    let families = [Family::Normal, Family::Confident, Family::Masked];
    let (teachers, students) = (cases(&families, 39), cases(&families, 40));
    for (teacher, student) in teachers.into_iter().zip(students) {
        let (teacher, student) =
            (losses::without_ignored(teacher), losses::without_ignored(student));
        for form in [InputForm::LogProbs, InputForm::Probs] {
            let mut teacher = in_form(&teacher, form).logits;
            if form == InputForm::Probs {
                // They need not sum to 1.
                for p in &mut teacher {
                    *p *= 0.75;
                }
                teacher = losses::with_subnormals(teacher);
            }
            let kl = KlDivergence::new().with_teacher(form);
            for op in [
                Divergence::Kl(kl),
                Divergence::Kl(kl.with_temperature(0.4)),
                Divergence::Kl(kl.with_reverse().with_temperature(2.0)),
                Divergence::Kl(kl.with_reverse().with_temperature(0.4)),
                Divergence::Js(JsDivergence::new().with_teacher(form)),
                Divergence::Js(JsDivergence::new().with_teacher(form).with_temperature(0.4)),
                Divergence::Js(JsDivergence::new().with_teacher(form).with_beta(0.9)),
            ] {
                let outcome = |s| losses::divergence(s, &teacher, &student, op);
                assert_all(subjects.iter().map(outcome));
            }
        }
    }
}

#[test]
fn entropies() {
    let subjects = subjects();
    for case in cases(&Family::ALL, 41) {
        assert_all(subjects.iter().map(|s| losses::entropies(s, &case, Unit::Nats)));
    }
    let case = Family::Normal.case(9, 33, 42);
    assert_all(subjects.iter().map(|s| losses::entropies(s, &case, Unit::Bits)));
}

/// Labels for every element: 0 and 1, or soft ones.
fn binary_labels(case: &Case, labels: BinaryLabels, soft: bool) -> Vec<f32> {
    let mut rng = Rng::new(43);
    let label = |_| match (labels, soft) {
        (BinaryLabels::PlusMinus, _) => [-1.0, 1.0][rng.below(2)],
        (_, true) => rng.uniform() as f32,
        _ => [0.0, 1.0][rng.below(2)],
    };
    (0..case.logits.len()).map(label).collect()
}

fn elements(families: &[Family], seed: u64) -> Vec<Case> {
    // Odd and even counts: folded into rows of one element and of many.
    let shapes = [(1, 1), (1, 7), (3, 5), (16, 3), (4, 1031), (8, 512)];
    let of = |&family: &Family| {
        shapes.map(|(rows, columns)| losses::without_ignored(family.case(rows, columns, seed)))
    };
    families.iter().flat_map(of).collect()
}

#[test]
fn binary() {
    let subjects = subjects();
    let families =
        [Family::Normal, Family::Confident, Family::Masked, Family::Special, Family::Extremes];
    for case in elements(&families, 44) {
        let mut rng = Rng::new(45);
        let factors: Vec<f32> = (0..case.logits.len())
            .map(|i| if i % 7 == 3 { 0.0 } else { rng.uniform() as f32 })
            .collect();
        let hard = binary_labels(&case, BinaryLabels::ZeroOne, false);
        let soft = binary_labels(&case, BinaryLabels::ZeroOne, true);
        let signs = binary_labels(&case, BinaryLabels::PlusMinus, false);
        let new = BinaryCrossEntropy::new;
        let positive = new().with_pos_weight(weights(case.classes));
        for reduction in REDUCTIONS {
            let check = |y: &[f32], w: Option<&[f32]>, op: &BinaryCrossEntropy| {
                let op = op.clone().with_reduction(reduction);
                assert_all(subjects.iter().map(|s| losses::elementwise(s, &case, (y, w), &op)));
            };
            check(&hard, None, &new());
            // The factor comes last: what overflowed before stays infinite.
            if !case.name.starts_with("Extremes") {
                check(&soft, Some(&factors), &positive);
            }
            check(&signs, None, &new().with_labels(BinaryLabels::PlusMinus).with_unit(Unit::Bits));
        }
        for (i, gamma) in [0.0, 0.5, 2.0].into_iter().enumerate() {
            let op = BinaryFocal::new().with_gamma(gamma).with_reduction(REDUCTIONS[i]);
            let outcome = |s| losses::elementwise(s, &case, (&hard, None), &op);
            assert_all(subjects.iter().map(outcome));
            let op = op.with_alpha(0.25);
            let outcome = |s| losses::elementwise(s, &case, (&soft, Some(&factors)), &op);
            assert_all(subjects.iter().map(outcome));
        }
    }
}

#[test]
fn binary_of_probabilities() {
    let subjects = subjects();
    for (rows, columns) in [(1, 7), (16, 3), (8, 512)] {
        let mut rng = Rng::new(46);
        let mut case = Family::Normal.case(rows, columns, 47);
        for (i, x) in case.logits.iter_mut().enumerate() {
            *x = match i % 5 {
                0 => 0.0,
                1 => 1.0,
                2 => 1e-6 * rng.uniform() as f32,
                3 => 1.0 - 1e-6 * rng.uniform() as f32,
                _ => rng.uniform() as f32,
            };
        }
        case.logits = losses::with_subnormals(case.logits);
        for (i, soft) in [false, true].into_iter().enumerate() {
            let y = binary_labels(&case, BinaryLabels::ZeroOne, soft);
            for reduction in [REDUCTIONS[i], Reduction::None] {
                let op =
                    BinaryCrossEntropy::new().with_form(InputForm::Probs).with_reduction(reduction);
                assert_all(subjects.iter().map(|s| losses::elementwise(s, &case, (&y, None), &op)));
            }
        }
    }
}

#[test]
fn regression_and_margins() {
    let subjects = subjects();
    for case in elements(&[Family::Normal, Family::Special], 48) {
        let mut rng = Rng::new(49);
        let y: Vec<f32> = (0..case.logits.len()).map(|_| rng.normal() as f32).collect();
        let signs = binary_labels(&case, BinaryLabels::PlusMinus, false);
        for reduction in REDUCTIONS {
            for (loss, y) in [
                (ElementwiseLoss::Squared, &y),
                (ElementwiseLoss::Absolute, &y),
                (ElementwiseLoss::Huber { delta: 0.7 }, &y),
                (ElementwiseLoss::Hinge, &signs),
            ] {
                let op = Elementwise::new(loss).with_reduction(reduction);
                assert_all(subjects.iter().map(|s| losses::elementwise(s, &case, (y, None), &op)));
            }
        }
    }
}
