//! Proof that the suite can fail: shaders with one mistake each, every one of which it must reject.

mod common;

use common::cases::{Case, Family};
use common::losses::{self, Divergence};
use common::suite::Outcome;
use common::{Subject, one_family_each, suite};
use surprisal::gpu::{FRAGMENTS, Gpu, Reduce, Sources};
use surprisal::{
    BinaryCrossEntropy, BinaryFocal, CrossEntropy, Elementwise, ElementwiseLoss, Focal, InputForm,
    JsDivergence, KlDivergence, Reduction, Unit,
};

/// A mistake: the file, what stands there, what is put in its place, and the family of kernels and
/// the reduction that it shows in.
#[derive(Clone, Copy)]
struct Mutant {
    what: &'static str,
    file: &'static str,
    from: &'static str,
    to: &'static str,
    kernels: &'static str,
    reduce: Reduce,
}

const fn mutant(
    what: &'static str,
    file: &'static str,
    from: &'static str,
    to: &'static str,
) -> Mutant {
    Mutant { what, file, from, to, kernels: "row", reduce: Reduce::Tree }
}

const fn in_kernels(kernels: &'static str, mutant: Mutant) -> Mutant {
    Mutant { kernels, ..mutant }
}

const fn by_subgroup(mutant: Mutant) -> Mutant {
    Mutant { reduce: Reduce::Subgroup, ..mutant }
}

const ROW_STAT: &str = "fragments/acc_row_stat.wgsl";
const REST: &str = "fragments/rest.wgsl";
const ROW_STAT_SUBGROUP: &str = "fragments/acc_row_stat_subgroup.wgsl";
const ROW_TARGET: &str = "fragments/row_target.wgsl";
const FINISH: &str = "fragments/finish_cross_entropy.wgsl";

const MUTANTS: &[Mutant] = &[
    mutant("min for max", ROW_STAT, "max(acc.max, x)", "min(acc.max, x)"),
    mutant("no rescale when the maximum moves", REST, "e + rest * e", "e + rest"),
    mutant("the maximum's own 1 counted", ROW_STAT, "Values(-1.0)", "Values(0.0)"),
    mutant("no rescale of the loser", REST, "b_rest, a_wins)) * e", "b_rest, a_wins))"),
    mutant("one column too few swept", "row.wgsl", "row.words, WG", "max(row.words, 1u) - 1u, WG"),
    mutant(
        "one column too few written",
        "fragments/columns_now.wgsl",
        "word < params.words",
        "word + 1u < params.words",
    ),
    mutant("the target's neighbour", ROW_TARGET, "target_index.x % WIDTH", "0u"),
    mutant(
        "the gradient at another column",
        "fragments/column_exp.wgsl",
        "Columns(coef.target_column)",
        "Columns(coef.target_column + 1u)",
    ),
    mutant(
        "p - 1 by subtraction",
        FINISH,
        "select(p - 1.0, -acc.rest / sum,",
        "select(p - 1.0, p - 1.0,",
    ),
    mutant(
        "lse - x",
        "fragments/form_logits.wgsl",
        "(stat_max(acc) - z) + stat_log_sum(acc)",
        "(stat_max(acc) + stat_log_sum(acc)) - z",
    ),
    mutant("ignored rows written", "fragments/column_exp.wgsl", "coef.skipped != 0u", "false"),
    mutant("ignored rows counted", "fragments/target_kind.wgsl", "all(index == ignored)", "false"),
    mutant("NaN not seen", "fragments/floats.wgsl", "< 0x7f800000u", "<= 0x7fffffffu"),
    mutant("+inf not seen", "fragments/floats.wgsl", "== 0x7f800000u", "== 0x7fffffffu"),
    mutant(
        "log1p(x) = log(1 + x)",
        "fragments/floats.wgsl",
        "if (x > 0.41421354)",
        "if (x >= 0.0)",
    ),
    mutant("half of ln 2", "fragments/floats.wgsl", "0.6931472", "0.6931"),
    mutant("half a tree", "fragments/reduce_tree.wgsl", "stride > 0u", "stride > 1u"),
    mutant(
        "words counted from one",
        "fragments/word_f32x4.wgsl",
        "+ 4u * word",
        "+ 4u * word + 1u",
    ),
    mutant(
        "the mean's upstream not divided",
        "fragments/upstream_mean.wgsl",
        "params.upstream / divisor",
        "params.upstream",
    ),
    mutant("the mean not divided", "fragments/reduced_mean.wgsl", "sum / divisor", "sum"),
    mutant("lse summed for loss", "fragments/stats.wgsl", "+ row].x", "+ row].y"),
    mutant(
        "rows of stats shifted",
        "fragments/stats.wgsl",
        "params.stats_offset + index",
        "params.stats_offset",
    ),
    mutant(
        "one upstream for all",
        "fragments/upstream_rows.wgsl",
        "params.dloss_offset + row",
        "0u",
    ),
    mutant(
        "log-softmax without its sum",
        "fragments/finish_log_softmax.wgsl",
        "log1p(acc.rest)",
        "0.0",
    ),
    mutant("dot without a factor", "fragments/sweep_dot.wgsl", "* load_second(row, word)", ""),
    mutant(
        "a sign in log-softmax's backward",
        "fragments/column_log_softmax_backward.wgsl",
        "load_second(row, word) -",
        "load_second(row, word) +",
    ),
    mutant(
        "all runs but the last forgotten",
        "fragments/sweep_words.wgsl",
        "acc_combine(total, lane_collapse(run))",
        "lane_collapse(run)",
    ),
    in_kernels(
        "lane",
        mutant("rows by lane shifted", "lane.wgsl", "* WG_SIZE + lane", "* WG_SIZE"),
    ),
    in_kernels(
        "split",
        mutant(
            "a piece left out",
            "split_finish.wgsl",
            "split < params.splits",
            "split + 1u < params.splits",
        ),
    ),
    in_kernels(
        "split",
        mutant(
            "pieces that overlap",
            "split_sweep.wgsl",
            "(split + 1u) * params.split_words",
            "(split + 2u) * params.split_words",
        ),
    ),
    in_kernels(
        "split",
        mutant("coefficients of another row", "fragments/scratch.wgsl", "row * 2u", "row"),
    ),
    by_subgroup(mutant(
        "every lane's own 1 left out",
        ROW_STAT_SUBGROUP,
        "lane_id == owner",
        "acc.max == top",
    )),
    by_subgroup(mutant("one lane for all", ROW_STAT_SUBGROUP, "subgroupAdd(part)", "part")),
    in_kernels(
        "wide",
        by_subgroup(mutant(
            "one subgroup left out",
            "fragments/reduce_subgroup.wgsl",
            "var i = 1u",
            "var i = 2u",
        )),
    ),
    in_kernels(
        "small windows",
        mutant("every window the first", "fragments/io_in_place.wgsl", "params.input_offset", "0u"),
    ),
    in_kernels(
        "folded",
        mutant(
            "a grid unfolded",
            "fragments/params.wgsl",
            "group.y * params.grid_width + group.x",
            "group.x",
        ),
    ),
    in_kernels(
        "options",
        mutant("half of the z-loss's slope", FINISH, "2.0 * params.z_loss", "params.z_loss"),
    ),
    in_kernels(
        "options",
        mutant(
            "smoothing without its weights' sum",
            "fragments/form_logits.wgsl",
            "weight * log1p",
            "log1p",
        ),
    ),
    in_kernels(
        "options",
        mutant(
            "a spread that stays when the maximum moves",
            REST,
            "select(w, weight, x > max)",
            "w",
        ),
    ),
    in_kernels(
        "options",
        mutant(
            "the loser's spread left where it was",
            REST,
            "weight * (top - max), 0.0",
            "0.0, 0.0",
        ),
    ),
    in_kernels(
        "options",
        by_subgroup(mutant(
            "spreads not moved",
            "fragments/acc_weighted_subgroup.wgsl",
            "+ spread_moved(acc.weight, acc.max, top)",
            "",
        )),
    ),
    in_kernels(
        "options",
        mutant(
            "smoothing kept from the columns",
            "fragments/shift_weights.wgsl",
            "shift * class_weights(word)",
            "Values(0.0)",
        ),
    ),
    in_kernels(
        "options",
        mutant(
            "the chain's slope forgotten",
            "fragments/chain_softcap.wgsl",
            "params.logit_scale * (4.0",
            "(4.0",
        ),
    ),
    in_kernels(
        "options",
        mutant("tanh's series cut short", "fragments/chain_softcap.wgsl", "0.13333334", "0.0"),
    ),
    in_kernels(
        "options",
        mutant(
            "rows counted, not weighed",
            "scan_targets.wgsl",
            "weight = class_weight(target_index.x)",
            "weight = 1.0",
        ),
    ),
];

/// The files of one loss or of several that share them.
const fn of(what: &'static str, mutant: Mutant) -> Mutant {
    Mutant { kernels: what, ..mutant }
}

/// Mistakes in the fragments of the rest of the family, by the losses that show them.
const FAMILY: &[Mutant] = &[
    of(
        "labels",
        mutant("labels not smoothed", "fragments/label_part.wgsl", "params.smooth_target * q", "q"),
    ),
    of(
        "labels",
        mutant("labels not weighed", "fragments/label_part.wgsl", "class_weights(word) *", "1.0 *"),
    ),
    of(
        "labels",
        mutant(
            "A p - a with p in both",
            "fragments/column_labels.wgsl",
            "part * p_minus_1",
            "part * p",
        ),
    ),
    of(
        "labels",
        mutant("no z-loss in the columns", "fragments/column_labels.wgsl", "+ coef.more * p", ""),
    ),
    of(
        "labels",
        mutant(
            "the maximum's column cancels",
            "fragments/column_labels.wgsl",
            "z == Values(coef.max)",
            "z > Values(coef.max)",
        ),
    ),
    of("labels", mutant("a loss without its z-loss", "fragments/row_labels.wgsl", "+ z_loss", "")),
    of(
        "labels",
        mutant(
            "targets' gradient unsmoothed",
            "fragments/column_target_gradient.wgsl",
            "params.smooth_target *",
            "1.0 *",
        ),
    ),
    of(
        "labels",
        mutant(
            "lse - z for targets",
            "fragments/column_target_gradient.wgsl",
            "(Values(coef.max) - chain(load_input(row, word))) + coef.log_sum",
            "(Values(coef.max) + coef.log_sum) - chain(load_input(row, word))",
        ),
    ),
    of(
        "labels",
        mutant("a sum over rows as mean", "fragments/reduced_mean.wgsl", "sum / divisor", "sum"),
    ),
    of(
        "metrics",
        mutant("the last of equals", REST, "min(a_column, b_column)", "max(a_column, b_column)"),
    ),
    of(
        "metrics",
        mutant(
            "any column that rises",
            "fragments/acc_argmax.wgsl",
            "select(acc.column, columns, leads)",
            "columns",
        ),
    ),
    of(
        "metrics",
        mutant(
            "ignored rows have a best column",
            "fragments/store_cross_entropy.wgsl",
            "store_row(index, 0.0, 0.0, 0.0, SKIPPED)",
            "store_row(index, 0.0, 0.0, 0.0, 0u)",
        ),
    ),
    of(
        "metrics",
        mutant("every row correct", "fragments/best_column.wgsl", "best == target_column", "true"),
    ),
    of(
        "metrics",
        mutant(
            "the loss in place of -log p",
            "fragments/store_cross_entropy.wgsl",
            "select(nll, params.nan, undefined)",
            "select(loss, params.nan, undefined)",
        ),
    ),
    of(
        "metrics",
        mutant(
            "correct rows not summed",
            "fragments/acc_metrics.wgsl",
            "a.correct + b.correct",
            "max(a.correct, b.correct)",
        ),
    ),
    of(
        "labels",
        mutant(
            "labels' best column forgotten",
            "fragments/acc_labels.wgsl",
            "select(acc.label_column, columns, is_label)",
            "acc.label_column",
        ),
    ),
    of(
        "labels",
        mutant(
            "shares not moved",
            "fragments/acc_labels.wgsl",
            "+ spread_pushed(acc.max, acc.share, x, q)",
            "",
        ),
    ),
    of(
        "normalized",
        mutant(
            "a sign in the logarithm",
            "fragments/form_normalized.wgsl",
            "return -z;",
            "return z;",
        ),
    ),
    of(
        "normalized",
        mutant(
            "the maximum left out",
            "fragments/form_normalized.wgsl",
            "spread - weight * acc.max",
            "spread",
        ),
    ),
    of(
        "normalized",
        mutant("no clamp", "fragments/chain_probs.wgsl", "max(x, Values(params.clamp))", "x"),
    ),
    of(
        "normalized",
        mutant(
            "a slope below the clamp",
            "fragments/chain_probs.wgsl",
            "x >= Values(params.clamp)",
            "x >= Values(0.0)",
        ),
    ),
    of(
        "normalized",
        mutant(
            "the target's weight forgotten",
            "fragments/finish_nll.wgsl",
            "* row.target_weight",
            "",
        ),
    ),
    of(
        "focal",
        mutant(
            "gamma's slope forgotten",
            "fragments/modulation.wgsl",
            "factor + factor * more",
            "factor",
        ),
    ),
    of("focal", mutant("p for 1 - p", "fragments/modulation.wgsl", "pow(miss,", "pow(p,")),
    of(
        "focal",
        mutant(
            "1 - p by subtraction",
            "fragments/store_focal.wgsl",
            "row.target_logit == acc.max",
            "false",
        ),
    ),
    of(
        "focal",
        mutant(
            "alpha forgotten in the gradient",
            "fragments/finish_focal.wgsl",
            "* row.target_weight",
            "",
        ),
    ),
    of(
        "divergences",
        mutant(
            "terms that stay when a maximum moves",
            "fragments/acc_pair.wgsl",
            "e * (half_sum + sum * half_move), Values(0.0)",
            "e * half_sum, Values(0.0)",
        ),
    ),
    of(
        "divergences",
        mutant(
            "the loser's terms left where they were",
            "fragments/acc_pair.wgsl",
            "e * (half_sum + sum * half_move), 0.0",
            "e * half_sum, 0.0",
        ),
    ),
    of(
        "divergences by lane",
        mutant(
            "masked students not infinite",
            "fragments/acc_pair.wgsl",
            "select(own, Values(params.infinity), is_infinite)",
            "own",
        ),
    ),
    of(
        "divergences",
        mutant(
            "the student's rest unscaled",
            "fragments/acc_pair.wgsl",
            "rest_pushed(acc.other_max, acc.other_rest, y)",
            "acc.other_rest",
        ),
    ),
    of(
        "divergences",
        mutant("half of the sum", "fragments/row_kl.wgsl", "2.0 * (acc.half_sum", "(acc.half_sum"),
    ),
    of(
        "divergences",
        mutant(
            "P - Q",
            "fragments/column_kl.wgsl",
            "q * coef.teacher_total - p",
            "p - q * coef.teacher_total",
        ),
    ),
    of(
        "divergences",
        mutant("a sure pair by subtraction", "fragments/finish_kl.wgsl", "both_sure),", "false),"),
    ),
    of(
        "divergences",
        mutant(
            "the teacher's sum taken for 1",
            "fragments/row_kl.wgsl",
            "exp(acc.max) * (1.0 + acc.rest), TEACHER",
            "1.0, TEACHER",
        ),
    ),
    of(
        "divergences",
        mutant(
            "reverse without its mean",
            "fragments/column_reverse_kl.wgsl",
            "- Values(coef.kl)",
            "",
        ),
    ),
    of(
        "divergences",
        mutant(
            "a teacher without temperature",
            "fragments/teacher_logits.wgsl",
            "x * params.logit_scale",
            "x",
        ),
    ),
    of(
        "divergences",
        mutant(
            "probabilities past 1",
            "fragments/js_terms.wgsl",
            "0.6931472 - softplus(b - a)",
            "0.6931472 - softplus(a - b)",
        ),
    ),
    of(
        "divergences",
        mutant(
            "sides exchanged",
            "fragments/js_terms.wgsl",
            "term_to_mean(q, b, a), q",
            "term_to_mean(q, a, b), q",
        ),
    ),
    of(
        "divergences",
        mutant(
            "the sum left out of the columns",
            "fragments/column_js.wgsl",
            "- terms.q * coef.sum",
            "",
        ),
    ),
    of(
        "divergences",
        mutant(
            "pairs of another row",
            "fragments/pairs.wgsl",
            "params.pairs_offset + row",
            "params.pairs_offset",
        ),
    ),
    of(
        "divergences",
        mutant("one piece's words for all", "fragments/scratch_pieces.wgsl", "* ACC_WORDS", ""),
    ),
    of(
        "entropies",
        mutant("log 2 for log1p", "fragments/row_entropy.wgsl", "log1p(acc.rest)", "0.6931472"),
    ),
    of(
        "entropies",
        mutant("the mean left out", "fragments/column_entropy.wgsl", "- Values(coef.entropy)", ""),
    ),
    of(
        "entropies",
        mutant(
            "nats for bits",
            "fragments/row_entropy.wgsl",
            "params.unit * entropy(acc)",
            "entropy(acc)",
        ),
    ),
    of(
        "entropies",
        mutant(
            "rows' upstream in nats",
            "fragments/upstream_rows.wgsl",
            "params.unit * dloss",
            "dloss",
        ),
    ),
    of(
        "binary",
        mutant("log1p's series cut short", "fragments/softplus.wgsl", "0.33333334", "0.0"),
    ),
    of("binary", mutant("half a softplus", "fragments/softplus.wgsl", "+ max(x, Values(0.0))", "")),
    of(
        "binary",
        mutant(
            "positives not weighed",
            "fragments/element_binary_logits.wgsl",
            "class_weights(word) * y",
            "y",
        ),
    ),
    of(
        "binary",
        mutant(
            "the wrong side's sigmoid",
            "fragments/element_binary_logits.wgsl",
            "* sigmoid(-x)",
            "* sigmoid(x)",
        ),
    ),
    of(
        "binary",
        mutant(
            "0 times infinity",
            "fragments/element.wgsl",
            "select(coefficient * x, Values(0.0), coefficient == Values(0.0))",
            "coefficient * x",
        ),
    ),
    of(
        "binary",
        mutant(
            "NaN passed over",
            "fragments/element.wgsl",
            "Columns(0x7f800000u)",
            "Columns(0x7fffffffu)",
        ),
    ),
    of(
        "binary",
        mutant(
            "labels not turned",
            "fragments/element.wgsl",
            "params.label_scale * load_second(row, word)",
            "load_second(row, word)",
        ),
    ),
    of(
        "binary",
        mutant(
            "one factor for all",
            "fragments/factors_buffer.wgsl",
            "params.factors_offset + row * params.factors_stride + word",
            "0u",
        ),
    ),
    of(
        "binary",
        mutant(
            "one upstream for all elements",
            "fragments/upstream_elements.wgsl",
            "+ row * params.dloss_stride",
            "",
        ),
    ),
    of(
        "binary",
        mutant(
            "losses in nats",
            "fragments/sweep_element_losses.wgsl",
            "params.unit * loss",
            "loss",
        ),
    ),
    of(
        "binary",
        mutant("sums in nats", "fragments/row_elements.wgsl", "params.unit * acc.sum", "acc.sum"),
    ),
    of(
        "binary",
        mutant(
            "no -100",
            "fragments/element_binary_probs.wgsl",
            "Values(-100.0), p == Values(0.0)",
            "Values(-50.0), p == Values(0.0)",
        ),
    ),
    of(
        "binary",
        mutant(
            "log(1 - p) of a small p",
            "fragments/element_binary_probs.wgsl",
            "p > Values(0.5)",
            "p > Values(2.0)",
        ),
    ),
    of(
        "binary",
        mutant(
            "alpha for both classes",
            "fragments/element_binary_focal.wgsl",
            "params.focal_zero",
            "params.focal_one",
        ),
    ),
    of(
        "regression",
        mutant(
            "Huber's line everywhere",
            "fragments/element_huber.wgsl",
            "d <= Values(params.delta)",
            "d < Values(0.0)",
        ),
    ),
    of(
        "regression",
        mutant(
            "Huber's slope unbounded",
            "fragments/element_huber.wgsl",
            "clamp(x - y, Values(-params.delta), Values(params.delta))",
            "x - y",
        ),
    ),
    of(
        "regression",
        mutant(
            "a slope past the margin",
            "fragments/element_hinge.wgsl",
            "> Values(0.0)",
            "> Values(-9.0)",
        ),
    ),
    of(
        "regression",
        mutant("half a square's slope", "fragments/element_squared.wgsl", "2.0 *", ""),
    ),
    of(
        "regression",
        mutant(
            "a sign that is none",
            "fragments/element_absolute.wgsl",
            "sign(x - y)",
            "abs(x - y)",
        ),
    ),
];

/// The losses that a mutant of the family has to fail, on cases that show its mistakes.
fn family_failure(subject: &Subject, what: &str) -> Option<String> {
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
            let op = op.with_pos_weight(weights());
            losses::elementwise(subject, &kept, (&soft, factors), &op)?;
            losses::elementwise(subject, &kept, (&soft, factors), &op.with_reduction(none))?;
            let op = BinaryCrossEntropy::new().with_labels(surprisal::BinaryLabels::PlusMinus);
            losses::elementwise(subject, &kept, (&signs, None), &op)?;
            let op = BinaryFocal::new().with_alpha(0.25);
            losses::elementwise(subject, &kept, (&hard, None), &op)?;
            if is_sound {
                let op = BinaryCrossEntropy::new().with_form(InputForm::Probs);
                let p = probabilities(&kept);
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
        Divergence::Kl(kl.with_reverse()),
        Divergence::Js(js),
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
    let op = Divergence::Kl(kl.with_teacher(InputForm::Probs));
    losses::divergence(subject, &half, case, op)
}

/// A case's softmax, with 1/classes in the place of what has none.
fn probabilities(case: &Case) -> Case {
    let softmax = surprisal::reference::softmax(case.matrix());
    let finite = |p: f64| if p.is_nan() { 1.0 / case.classes as f64 } else { p };
    Case { logits: softmax.into_iter().map(|p| finite(p) as f32).collect(), ..case.clone() }
}

/// Enough for every mistake, and no more.
fn cases() -> Vec<Case> {
    let shapes = [(13, 3), (9, 33), (12, 64), (11, 1000), (3, 1031)];
    let families = Family::ALL.into_iter();
    families
        .flat_map(|family| shapes.map(|(rows, classes)| family.case(rows, classes, 2)))
        .collect()
}

fn subject(gpu: &Gpu, kernels: &str, reduce: Reduce) -> Subject {
    let mut tuning = gpu.tuning();
    // Split rows show what the pieces of an accumulator are made of.
    let kernels = match kernels {
        "divergences" => "split",
        "divergences by lane" => "lane",
        other => other,
    };
    for (family, family_tuning) in one_family_each(gpu.tuning()) {
        if family == kernels || family == "row" && !["lane", "split"].contains(&kernels) {
            tuning = family_tuning;
        }
    }
    tuning.reduce = reduce;
    if kernels == "wide" {
        tuning.min_row_workgroup = 64;
        tuning.max_row_workgroup = 64;
    }
    let gpu = gpu.with_tuning(tuning);
    let mut caps = gpu.caps().clone();
    match kernels {
        "small windows" => caps.max_binding_bytes = 5_000,
        "folded" => caps.max_workgroups = 3,
        _ => {}
    }
    Subject::gpu(kernels, gpu.with_caps(caps))
}

fn first_failure(subject: &Subject, cases: &[Case]) -> Option<String> {
    if subject.name.ends_with("options") {
        return cases.iter().find_map(|case| {
            let weights = (0..case.classes).map(|j| 0.5 + (j % 3) as f64);
            let op = CrossEntropy::new()
                .with_class_weights(weights)
                .with_label_smoothing(0.2)
                .with_z_loss(1e-2)
                .with_softcap(15.0)
                .with_logit_scale(1.5);
            suite::with_options(subject, case, &op).err()
        });
    }
    cases.iter().find_map(|case| suite::check(subject, case).err())
}

#[test]
fn the_suite_rejects_every_mutant() {
    let gpu = common::gpu();
    let cases = cases();
    let mut survivors = Vec::new();
    for mutant in MUTANTS.iter().chain(FAMILY) {
        if mutant.reduce == Reduce::Subgroup && gpu.caps().subgroups.is_none() {
            continue;
        }
        let fragment = FRAGMENTS.iter().find(|fragment| fragment.file == mutant.file);
        let source = fragment.expect("the file exists").source;
        assert!(source.contains(mutant.from), "{}: the text has changed", mutant.what);
        let sources =
            Sources::default().replace(mutant.file, source.replace(mutant.from, mutant.to));
        let mutated = subject(&gpu.with_sources(sources), mutant.kernels, mutant.reduce);
        let failure = if FAMILY.iter().any(|member| member.kernels == mutant.kernels) {
            family_failure(&mutated, mutant.kernels)
        } else {
            first_failure(&mutated, &cases)
        };
        match failure {
            // A mutant that does not compile proves nothing.
            Some(failure) if failure.contains("shader") => {
                survivors.push(format!("{}: {failure}", mutant.what));
            }
            Some(_) => {}
            None => survivors.push(mutant.what.to_owned()),
        }
    }
    assert!(survivors.is_empty(), "survived: {survivors:#?}");
}

#[test]
fn the_same_cases_accept_the_shaders_as_they_are() {
    let gpu = common::gpu();
    let cases = cases();
    let mut configurations: Vec<_> = MUTANTS.iter().map(|m| (m.kernels, m.reduce)).collect();
    configurations.sort_by_key(|c| format!("{c:?}"));
    configurations.dedup();
    for what in [
        "divergences by lane",
        "labels",
        "metrics",
        "normalized",
        "focal",
        "divergences",
        "entropies",
        "binary",
        "regression",
    ] {
        let subject = subject(&gpu, what, Reduce::Tree);
        assert_eq!(family_failure(&subject, what), None, "{what}");
    }
    for (kernels, reduce) in configurations {
        if reduce == Reduce::Tree || gpu.caps().subgroups.is_some() {
            assert_eq!(first_failure(&subject(&gpu, kernels, reduce), &cases), None);
        }
    }
}
