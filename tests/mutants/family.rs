//! Mistakes in the fragments of the loss family, and the losses that show them.

use super::common::Subject;
use super::common::cases::{Case, Family};
use super::common::losses::{self, Divergence};
use super::common::suite::Outcome;
use super::{Mutant, REST, mutant};
use surprisal::{
    BinaryCrossEntropy, BinaryFocal, CrossEntropy, Elementwise, ElementwiseLoss, Focal, InputForm,
    JsDivergence, KlDivergence, Reduction, Unit,
};

/// The files of one loss or of several that share them.
const fn of(what: &'static str, mutant: Mutant) -> Mutant {
    Mutant { kernels: what, ..mutant }
}

/// Mistakes in the fragments of the rest of the family, by the losses that show them.
pub(crate) const FAMILY: &[Mutant] = &[
    of("labels", mutant("labels not smoothed", "label_part", "params.smooth_target * q", "q")),
    of("labels", mutant("labels not weighed", "label_part", "class_weights(word) *", "1.0 *")),
    of("labels", mutant("A p - a with p in both", "column_labels", "part * p_minus_1", "part * p")),
    of("labels", mutant("no z-loss in the columns", "column_labels", "+ coef.more * p", "")),
    of(
        "labels",
        mutant(
            "the maximum's column cancels",
            "column_labels",
            "z == Values(coef.max)",
            "z > Values(coef.max)",
        ),
    ),
    of("labels", mutant("a loss without its z-loss", "row_labels", "+ z_loss", "")),
    of(
        "labels",
        mutant(
            "targets' gradient unsmoothed",
            "column_target_gradient",
            "params.smooth_target *",
            "1.0 *",
        ),
    ),
    of(
        "labels",
        mutant(
            "lse - z for targets",
            "column_target_gradient",
            "z_scale() * (Values(coef.max) - chain(x)) + coef.log_sum",
            "(Values(coef.max) + coef.log_sum) - chain(x)",
        ),
    ),
    of(
        "metrics",
        mutant("the last of equals", REST, "min(a_column, b_column)", "max(a_column, b_column)"),
    ),
    of(
        "metrics",
        mutant(
            "any column that rises",
            "acc_argmax",
            "select(acc.column, columns, leads)",
            "columns",
        ),
    ),
    of(
        "metrics",
        mutant(
            "ignored rows have a best column",
            "store_cross_entropy",
            "store_row(index, 0.0, 0.0, 0.0, SKIPPED)",
            "store_row(index, 0.0, 0.0, 0.0, 0u)",
        ),
    ),
    of("metrics", mutant("every row correct", "best_column", "best == target_column", "true")),
    of(
        "metrics",
        mutant(
            "the loss in place of -log p",
            "store_cross_entropy",
            "select(nll, params.nan, undefined)",
            "select(loss, params.nan, undefined)",
        ),
    ),
    of(
        "labels",
        mutant(
            "labels' best column forgotten",
            "acc_labels",
            "select(acc.label_column, columns, is_label)",
            "acc.label_column",
        ),
    ),
    of(
        "labels",
        mutant("shares not moved", "acc_labels", "+ spread_pushed(acc.max, acc.share, x, q)", ""),
    ),
    of(
        "normalized",
        mutant("a sign in the logarithm", "form_normalized", "return -z;", "return z;"),
    ),
    of(
        "normalized",
        mutant("the maximum left out", "form_normalized", "spread - weight * acc.max", "spread"),
    ),
    of("normalized", mutant("no clamp", "chain_probs", "max(x, Values(params.clamp))", "x")),
    of(
        "normalized",
        mutant(
            "a slope below the clamp",
            "chain_probs",
            "x >= Values(params.clamp)",
            "x >= Values(0.0)",
        ),
    ),
    of(
        "normalized",
        mutant("the target's weight forgotten", "finish_nll", "* row.target_weight", ""),
    ),
    of(
        "focal",
        mutant("gamma's slope forgotten", "modulation", "factor + factor * more", "factor"),
    ),
    of("focal", mutant("p for 1 - p", "modulation", "pow(miss,", "pow(p,")),
    of(
        "focal",
        mutant("1 - p by subtraction", "store_focal", "row.target_logit == acc.max", "false"),
    ),
    of(
        "focal",
        mutant("alpha forgotten in the gradient", "finish_focal", "* row.target_weight", ""),
    ),
    of(
        "divergences",
        mutant(
            "terms that stay when a maximum moves",
            "acc_pair",
            "e * (half_sum + sum * half_move), Values(0.0)",
            "e * half_sum, Values(0.0)",
        ),
    ),
    of(
        "divergences",
        mutant(
            "the loser's terms left where they were",
            "acc_pair",
            "e * (half_sum + sum * half_move), 0.0",
            "e * half_sum, 0.0",
        ),
    ),
    of(
        "divergences by lane",
        mutant(
            "masked students not infinite",
            "acc_pair",
            "select(own, Values(params.infinity), is_infinite)",
            "own",
        ),
    ),
    of(
        "divergences",
        mutant(
            "the student's rest unscaled",
            "acc_pair",
            "rest_pushed(acc.other_max, acc.other_rest, y, y_scale())",
            "acc.other_rest",
        ),
    ),
    of("divergences", mutant("half of the sum", "row_kl", "2.0 * z_scale()", "z_scale()")),
    of(
        "divergences",
        mutant("P - Q", "column_kl", "q * coef.teacher_total - p", "p - q * coef.teacher_total"),
    ),
    of("divergences", mutant("a sure pair by subtraction", "finish_kl", "both_sure),", "false),")),
    of(
        "divergences",
        mutant(
            "the teacher's sum taken for 1",
            "row_kl",
            "exp(acc.max) * (1.0 + acc.rest), TEACHER",
            "1.0, TEACHER",
        ),
    ),
    of(
        "divergences",
        mutant("reverse without its mean", "column_reverse_kl", "- Values(coef.kl)", ""),
    ),
    of(
        "divergences",
        mutant("a teacher without temperature", "teacher_logits", "x * params.logit_scale", "x"),
    ),
    of(
        "divergences",
        mutant(
            "probabilities past 1",
            "js_terms",
            "log_share - softplus(d)",
            "log_share - softplus(-d)",
        ),
    ),
    of("divergences", mutant("a mixture of halves", "js_terms", "+ params.mix_shift", "")),
    of(
        "divergences",
        mutant(
            "the other's share",
            "js_terms",
            "params.mix_teacher * term",
            "params.mix_student * term",
        ),
    ),
    of(
        "divergences",
        mutant("a student unshared", "js_terms", "params.mix_student * term", "term"),
    ),
    of(
        "divergences",
        mutant(
            "the logarithm of the other's share",
            "js_terms",
            "d, params.mix_log_teacher",
            "d, params.mix_log_student",
        ),
    ),
    of(
        "divergences",
        mutant(
            "and of the teacher's for the student",
            "js_terms",
            "-d, params.mix_log_student",
            "-d, params.mix_log_teacher",
        ),
    ),
    of(
        "divergences",
        mutant(
            "nothing of an absent class is 0",
            "js_terms",
            "p == Values(0.0)",
            "p == Values(9.0)",
        ),
    ),
    of(
        "divergences",
        mutant("sides exchanged", "js_terms", "term_to_mixture(q, -d", "term_to_mixture(q, d"),
    ),
    of(
        "divergences",
        mutant("the sum left out of the columns", "column_js", "- terms.q * coef.sum", ""),
    ),
    of(
        "divergences",
        mutant("pairs of another row", "pairs", "params.pairs_offset + row", "params.pairs_offset"),
    ),
    of("divergences", mutant("one piece's words for all", "scratch_pieces", "* ACC_WORDS", "")),
    of(
        "labels",
        mutant(
            "labels' columns unscaled",
            "column_labels",
            "exp(z_scale() * (z - Values(coef.max)))",
            "exp(z - Values(coef.max))",
        ),
    ),
    of(
        "labels",
        mutant(
            "targets' gradient unscaled",
            "column_target_gradient",
            "z_scale() * (Values(coef.max) - chain(x))",
            "(Values(coef.max) - chain(x))",
        ),
    ),
    of(
        "divergences",
        mutant(
            "one side's distances unscaled",
            "sides_kl",
            "return teacher_scale();",
            "return 1.0;",
        ),
    ),
    of(
        "divergences",
        mutant(
            "the other side's distances unscaled",
            "sides_reverse_kl",
            "return teacher_scale();",
            "return 1.0;",
        ),
    ),
    of("divergences", mutant("a student unscaled", "sides_kl", "return z_scale();", "return 1.0;")),
    of(
        "divergences",
        mutant(
            "a reverse student unscaled",
            "sides_reverse_kl",
            "return z_scale();",
            "return 1.0;",
        ),
    ),
    of(
        "divergences",
        mutant("a teacher's own unit forgotten", "teacher_probs", "1.0 / z_scale()", "1.0"),
    ),
    of("divergences", mutant("a divergence unscaled", "row_kl", "2.0 * z_scale()", "2.0")),
    of(
        "divergences",
        mutant("a reverse divergence unscaled", "row_reverse_kl", "2.0 * z_scale()", "2.0"),
    ),
    of(
        "divergences",
        mutant(
            "Q unscaled",
            "column_kl",
            "exp(z_scale() * (z - Values(coef.max)))",
            "exp(z - Values(coef.max))",
        ),
    ),
    of(
        "divergences",
        mutant(
            "P unscaled",
            "column_kl",
            "teacher_scale() * (t - Values(coef.teacher_max))",
            "(t - Values(coef.teacher_max))",
        ),
    ),
    of(
        "divergences",
        mutant(
            "reverse columns unscaled",
            "column_reverse_kl",
            "z_scale() * (z - Values(coef.max))",
            "(z - Values(coef.max))",
        ),
    ),
    of(
        "divergences",
        mutant(
            "reverse teachers unscaled",
            "column_reverse_kl",
            "teacher_scale() * (t - Values(coef.teacher_max))",
            "(t - Values(coef.teacher_max))",
        ),
    ),
    of(
        "divergences",
        mutant("Jensen and Shannon unscaled", "js_terms", "z_scale() * (chain(x)", "(chain(x)"),
    ),
    of(
        "divergences",
        mutant("a student's log-sum-exp unscaled", "student", "z_scale() * max", "max"),
    ),
    of("entropies", mutant("log 2 for log1p", "row_entropy", "log1p(acc.rest)", "0.6931472")),
    of("entropies", mutant("the mean left out", "column_entropy", "- Values(coef.entropy)", "")),
    of(
        "entropies",
        mutant("nats for bits", "row_entropy", "params.unit * entropy(acc)", "entropy(acc)"),
    ),
    of(
        "entropies",
        mutant("rows' upstream in nats", "upstream_rows", "params.unit * dloss", "dloss"),
    ),
    of("binary", mutant("log1p's series cut short", "softplus", "0.33333334", "0.0")),
    of("binary", mutant("half a softplus", "softplus", "+ max(x, Values(0.0))", "")),
    of(
        "binary",
        mutant("positives not weighed", "element_binary_logits", "class_weights(word) * y", "y"),
    ),
    of(
        "binary",
        mutant(
            "the wrong side's sigmoid",
            "element_binary_logits",
            "* sigmoid(-x)",
            "* sigmoid(x)",
        ),
    ),
    of(
        "binary",
        mutant(
            "0 times infinity",
            "element",
            "select(coefficient * x, Values(0.0), coefficient == Values(0.0))",
            "coefficient * x",
        ),
    ),
    of(
        "binary",
        mutant("NaN passed over", "element", "Columns(0x7f800000u)", "Columns(0x7fffffffu)"),
    ),
    of(
        "binary",
        mutant(
            "labels not turned",
            "element",
            "params.label_scale * load_second(at, word)",
            "load_second(at, word)",
        ),
    ),
    of(
        "binary",
        mutant("one weight for none", "weights_alike", "Values(params.weight)", "Values(1.0)"),
    ),
    of("binary", mutant("one factor for all", "factors_buffer", "at.factors + word", "0u")),
    of(
        "binary",
        mutant("one upstream for all elements", "starts", "+ row * params.dloss_stride", ""),
    ),
    of(
        "binary",
        mutant("losses in nats", "sweep_element_losses", "params.unit * element_at", "element_at"),
    ),
    of(
        "binary",
        mutant(
            "sums in nats",
            "sweep_elements_gradient",
            "params.unit * element.loss",
            "element.loss",
        ),
    ),
    of("binary", mutant("no -100", "element_binary_probs", "Values(-100.0)", "Values(-50.0)")),
    of(
        "binary",
        mutant(
            "a driver's logarithm of a subnormal",
            "log_of",
            "bits < Columns(0x00800000u)",
            "bits < Columns(0u)",
        ),
    ),
    of("divergences", mutant("a power of two too few", "log_of", "103.27893", "102.58578")),
    of("divergences", mutant("log 0 as it comes", "log_of", "-params.infinity", "-100.0")),
    of(
        "binary",
        mutant(
            "log(1 - p) of a small p",
            "element_binary_probs",
            "p > Values(0.5)",
            "p > Values(2.0)",
        ),
    ),
    of(
        "binary",
        mutant(
            "alpha for both classes",
            "element_binary_focal",
            "params.focal_zero",
            "params.focal_one",
        ),
    ),
    of(
        "regression",
        mutant(
            "Huber's line everywhere",
            "element_huber",
            "d <= Values(params.delta)",
            "d < Values(0.0)",
        ),
    ),
    of(
        "regression",
        mutant(
            "Huber's slope unbounded",
            "element_huber",
            "clamp(x - y, Values(-params.delta), Values(params.delta))",
            "x - y",
        ),
    ),
    of(
        "regression",
        mutant("a slope past the margin", "element_hinge", "> Values(0.0)", "> Values(-9.0)"),
    ),
    of("regression", mutant("half a square's slope", "element_squared", "2.0 *", "")),
    of(
        "regression",
        mutant("a sign that is none", "element_absolute", "sign(x - y)", "abs(x - y)"),
    ),
];

/// The losses that a mutant of the family has to fail, on cases that show its mistakes.
pub(crate) fn family_failure(subject: &Subject, what: &str) -> Option<String> {
    let families =
        [Family::Normal, Family::Confident, Family::Masked, Family::Special, Family::Ties];
    let cases = families.map(|family| family.case(9, 33, 61));
    cases.iter().find_map(|case| family_of(subject, case, what).err())
}

fn family_of(subject: &Subject, case: &Case, what: &str) -> Outcome {
    let weights = || (0..case.classes).map(|j| 0.5 + (j % 3) as f64);
    let q = losses::labels(case, 62);
    let soft: Vec<f32> = (0..case.logits.len()).map(|i| (i % 4) as f32 / 3.0).collect();
    let hard: Vec<f32> = soft.iter().map(|y| y.round()).collect();
    let signs: Vec<f32> = hard.iter().map(|y| 2.0 * y - 1.0).collect();
    let kept = losses::without_ignored(case.clone());
    let is_sound = kept.logits.iter().all(|x| x.is_finite() || *x == f32::NEG_INFINITY);
    match what {
        "labels" => {
            let op = CrossEntropy::new().with_class_weights(weights()).with_metrics();
            losses::cross_entropy(subject, &kept, Some(&q), &op)?;
            let scaled = op.clone().with_logit_scale(-1.5);
            losses::cross_entropy(subject, &kept, Some(&q), &scaled)?;
            let op = op.with_label_smoothing(0.2).with_z_loss(0.1);
            losses::cross_entropy(subject, &kept, Some(&q), &op)
        }
        "metrics" => {
            let op = CrossEntropy::new().with_class_weights(weights()).with_metrics();
            losses::cross_entropy(subject, case, None, &op)
        }
        "normalized" => {
            let p = probabilities(case);
            let op = CrossEntropy::new().with_form(InputForm::Probs).with_class_weights(weights());
            losses::cross_entropy(subject, &p, None, &op)?;
            let kept = Case { targets: kept.targets, ..p };
            losses::cross_entropy(subject, &kept, Some(&q), &op.with_clamp(1e-3))
        }
        "focal" => losses::focal(subject, case, &Focal::new().with_alpha(weights())),
        "divergences" | "divergences by lane" => divergences_of(subject, case),
        "entropies" => losses::entropies(subject, case, Unit::Bits),
        "binary" => {
            let none = Reduction::None;
            let factors = Some(&soft[..]);
            let op = BinaryCrossEntropy::new().with_unit(Unit::Bits);
            losses::elementwise(subject, &kept, (&hard, None), &op)?;
            let alike = op.clone().with_pos_weight_of_all(2.5);
            losses::elementwise(subject, &kept, (&soft, None), &alike)?;
            let op = op.with_pos_weight(weights());
            losses::elementwise(subject, &kept, (&soft, factors), &op)?;
            losses::elementwise(subject, &kept, (&soft, factors), &op.with_reduction(none))?;
            let op = BinaryCrossEntropy::new().with_labels(surprisal::BinaryLabels::PlusMinus);
            losses::elementwise(subject, &kept, (&signs, None), &op)?;
            let op = BinaryFocal::new().with_alpha(0.25);
            losses::elementwise(subject, &kept, (&hard, None), &op)?;
            if is_sound {
                let op = BinaryCrossEntropy::new().with_form(InputForm::Probs);
                let mut p = probabilities(&kept);
                p.logits = losses::with_subnormals(p.logits);
                losses::elementwise(subject, &p, (&soft, None), &op.with_reduction(none))?;
            }
            Ok(())
        }
        _ => {
            for (loss, y) in [
                (ElementwiseLoss::Squared, &soft),
                (ElementwiseLoss::Absolute, &soft),
                (ElementwiseLoss::Huber { delta: 0.7 }, &soft),
                (ElementwiseLoss::Hinge, &signs),
            ] {
                losses::elementwise(subject, &kept, (y, None), &Elementwise::new(loss))?;
            }
            Ok(())
        }
    }
}

fn divergences_of(subject: &Subject, case: &Case) -> Outcome {
    let other = Family::Normal.case(case.rows, case.classes, 63);

    let none = Reduction::None;
    let kl = KlDivergence::new().with_reduction(none);
    let js = JsDivergence::new().with_reduction(none);
    let p = probabilities(&other);
    for op in [
        Divergence::Kl(kl),
        Divergence::Kl(kl.with_temperature(2.0)),
        Divergence::Kl(kl.with_temperature(0.4)),
        Divergence::Kl(kl.with_reverse()),
        Divergence::Kl(kl.with_reverse().with_temperature(0.4)),
        Divergence::Js(js),
        Divergence::Js(js.with_temperature(0.4)),
        Divergence::Js(js.with_beta(0.2)),
    ] {
        losses::divergence(subject, &other.logits, case, op)?;
        losses::divergence(subject, &case.logits, case, op)?;
        losses::divergence(subject, &case.logits, &other, op)?;
    }
    // Both sure of the same classes; and what has hardly a probability, and none at all.
    let mut student =
        Case { logits: case.logits.iter().map(|x| 0.9 * x).collect(), ..case.clone() };
    losses::divergence(subject, &case.logits, &student, Divergence::Kl(kl))?;
    let mut teacher = other.logits.clone();
    (teacher[5], student.logits) = (-500.0, teacher.clone());
    student.logits[5] = f32::NEG_INFINITY;
    losses::divergence(subject, &teacher, &student, Divergence::Kl(kl))?;
    let half: Vec<f32> = p.logits.iter().map(|p| p / 2.0).collect();
    let half = losses::with_subnormals(half);
    let sharp = kl.with_temperature(0.4);
    for op in [kl, kl.with_reverse(), sharp, sharp.with_reverse()] {
        let op = Divergence::Kl(op.with_teacher(InputForm::Probs));
        losses::divergence(subject, &half, case, op)?;
    }
    // A class without any probability: infinite from one side, nothing from the other.
    let mut none = half.clone();
    none[3] = 0.0;
    let op = Divergence::Kl(kl.with_teacher(InputForm::Probs).with_reverse());
    losses::divergence(subject, &none, &other, op)
}

/// A case's softmax, with 1/classes in the place of what has none.
fn probabilities(case: &Case) -> Case {
    let softmax = crate::common::reference::softmax(case.matrix());
    let finite = |p: f64| if p.is_nan() { 1.0 / case.classes as f64 } else { p };
    Case { logits: softmax.into_iter().map(|p| finite(p) as f32).collect(), ..case.clone() }
}
