//! Proof that the suite can fail: shaders with one mistake each, every one of which it must reject.

#[path = "../common/mod.rs"]
mod common;
mod family;
mod masks;
mod narrow;
mod products;
mod sums;

use common::cases::{Case, Family};
use common::{Subject, one_family_each, suite};
use family::{FAMILY, family_failure};
use masks::{MASKS, mask_failure};
use narrow::{NARROW, narrow_failure};
use products::{KEPT, LAYERS, PRODUCTS, kept_failure, layer_failure, product_failure};
use sums::{OF_A_DEVICE, RECORDED, device_failure, recorded_failure};
use surprisal::gpu::{FRAGMENTS, Gpu, Reduce, Sources};
use surprisal::{CrossEntropy, Dtype};

/// A mistake: the file, what stands there, what is put in its place, and the family of kernels and
/// the reduction that it shows in.
#[derive(Clone, Copy)]
struct Mutant {
    what: &'static str,
    fragment: &'static str,
    from: &'static str,
    to: &'static str,
    kernels: &'static str,
    reduce: Reduce,
}

impl Mutant {
    /// The shaders with the mistake.
    fn sources(&self) -> Sources {
        let fragment = FRAGMENTS.iter().find(|fragment| fragment.name == self.fragment);
        let source = fragment.expect("it exists").source().0;
        assert!(source.contains(self.from), "{}: the text has changed", self.what);
        Sources::default().replace(self.fragment, source.replace(self.from, self.to))
    }
}

const fn mutant(
    what: &'static str,
    fragment: &'static str,
    from: &'static str,
    to: &'static str,
) -> Mutant {
    Mutant { what, fragment, from, to, kernels: "row", reduce: Reduce::Tree }
}

const fn in_kernels(kernels: &'static str, mutant: Mutant) -> Mutant {
    Mutant { kernels, ..mutant }
}

const fn by_subgroup(mutant: Mutant) -> Mutant {
    Mutant { reduce: Reduce::Subgroup, ..mutant }
}

const ROW_STAT: &str = "acc_row_stat";
const REST: &str = "rest";
const ROW_STAT_SUBGROUP: &str = "acc_row_stat_subgroup";
const ROW_TARGET: &str = "row_target";
const COLUMNS_HELD: &str = "columns_held";
const FINISH: &str = "finish_cross_entropy";

const MUTANTS: &[Mutant] = &[
    mutant("min for max", ROW_STAT, "max(acc.max, x)", "min(acc.max, x)"),
    mutant("no rescale when the maximum moves", REST, "e + rest * e", "e + rest"),
    mutant("the maximum's own 1 counted", ROW_STAT, "Values(-1.0)", "Values(0.0)"),
    mutant("no rescale of the loser", REST, "b_rest, a_wins)) * e", "b_rest, a_wins))"),
    mutant("one column too few swept", "row", "row.words, WG", "max(row.words, 1u) - 1u, WG"),
    mutant("one column too few written", "columns_whole", "word < end", "word + 1u < end"),
    mutant(
        "every second word's columns from the word before",
        "columns_whole",
        "word + step, next_x)",
        "word + step, x)",
    ),
    mutant(
        "only the first run swept",
        "sweep_words",
        "first < end; first += SWEEP_RUN * step",
        "first == start; first += SWEEP_RUN * step",
    ),
    mutant("the target's neighbour", ROW_TARGET, "target_index.x % WIDTH", "0u"),
    mutant(
        "the gradient at another column",
        "column_exp",
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
        "form_logits",
        "z_scale() * (stat_max(acc) - z) + stat_log_sum(acc)",
        "(stat_max(acc) + stat_log_sum(acc)) - z",
    ),
    mutant("ignored rows written", "skips", "coef.skipped != 0u", "false"),
    mutant("ignored rows counted", "target_kind", "all(index == ignored)", "false"),
    mutant("NaN not seen", "floats", "< 0x7f800000u", "<= 0x7fffffffu"),
    mutant("+inf not seen", "floats", "== 0x7f800000u", "== 0x7fffffffu"),
    mutant("log1p(x) = log(1 + x)", "floats", "if (x > 0.41421354)", "if (x >= 0.0)"),
    mutant("half of ln 2", "floats", "0.6931472", "0.6931"),
    mutant("half a tree", "reduce_tree", "stride > 0u", "stride > 1u"),
    mutant("words counted from one", "word_f32x4", "+ 4u * word", "+ 4u * word + 1u"),
    mutant(
        "the mean's upstream not divided",
        "upstream_mean",
        "params.upstream / divisor",
        "params.upstream",
    ),
    mutant("rows of stats shifted", "stats", "params.stats_offset + index", "params.stats_offset"),
    mutant("one upstream for all", "upstream_rows", "params.dloss_offset + row", "0u"),
    mutant("log-softmax without its sum", "finish_log_softmax", "log1p(acc.rest)", "0.0"),
    mutant("dot without a factor", "sweep_dot", "* load_second(at, word)", ""),
    mutant(
        "a sign in log-softmax's backward",
        "column_log_softmax_backward",
        "load_second(at, word) -",
        "load_second(at, word) +",
    ),
    mutant(
        "all runs but the last forgotten",
        "sweep_words",
        "acc_combine(total, lane_collapse(run))",
        "lane_collapse(run)",
    ),
    in_kernels(
        "held",
        mutant("the first word held alone", COLUMNS_HELD, "word, held[i]", "word, held[0]"),
    ),
    in_kernels(
        "held",
        mutant("the last word held lost", COLUMNS_HELD, "i < HELD", "i + 1u < HELD"),
    ),
    in_kernels(
        "held",
        mutant("held rows swept in part", "sweep_held", "i < HELD", "i + 1u < HELD"),
    ),
    in_kernels("lane", mutant("rows by lane shifted", "lane", "* WG_SIZE + lane", "* WG_SIZE")),
    in_kernels(
        "split",
        mutant(
            "a piece left out",
            "split_finish",
            "split < params.splits",
            "split + 1u < params.splits",
        ),
    ),
    in_kernels(
        "split",
        mutant(
            "pieces that overlap",
            "split_sweep",
            "(split + 1u) * params.split_words",
            "(split + 2u) * params.split_words",
        ),
    ),
    in_kernels("split", mutant("coefficients of another row", "scratch", "row * 2u", "row")),
    by_subgroup(mutant(
        "every lane's own 1 left out",
        ROW_STAT_SUBGROUP,
        "lane_id == owner",
        "acc.max == top",
    )),
    by_subgroup(mutant("one lane for all", ROW_STAT_SUBGROUP, "subgroupAdd(part)", "part")),
    in_kernels(
        "wide",
        by_subgroup(mutant("one subgroup left out", "reduce_subgroup", "var i = 1u", "var i = 2u")),
    ),
    in_kernels(
        "small windows",
        mutant("every window the first", "starts", "params.input_offset", "0u"),
    ),
    in_kernels(
        "folded",
        mutant("a grid unfolded", "params", "group.y * params.grid_width + group.x", "group.x"),
    ),
    in_kernels(
        "options",
        mutant("half of the z-loss's slope", FINISH, "2.0 * params.z_loss", "params.z_loss"),
    ),
    in_kernels(
        "options",
        mutant("smoothing without its weights' sum", "form_logits", "weight * log1p", "log1p"),
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
            "acc_weighted_subgroup",
            "+ spread_moved(acc.weight, acc.max, top)",
            "",
        )),
    ),
    in_kernels(
        "options",
        mutant(
            "smoothing kept from the columns",
            "shift_weights",
            "shift * class_weights(word)",
            "Values(0.0)",
        ),
    ),
    in_kernels(
        "options",
        mutant("the chain's slope forgotten", "chain_softcap", "params.logit_scale * (4.0", "(4.0"),
    ),
    in_kernels(
        "scaled options",
        mutant("distances swept unscaled", REST, "-scale * abs(x - max)", "-abs(x - max)"),
    ),
    in_kernels(
        "scaled options",
        mutant("a loser unscaled", REST, "-scale * abs(a_max - b_max)", "-abs(a_max - b_max)"),
    ),
    in_kernels(
        "scaled options",
        by_subgroup(mutant(
            "lanes combined unscaled",
            "acc_weighted_subgroup",
            "exp(z_scale() * (acc.max - top))",
            "exp(acc.max - top)",
        )),
    ),
    in_kernels(
        "scaled options",
        mutant("a spread unscaled", "form_logits", "z_scale() * spread", "spread"),
    ),
    in_kernels(
        "scaled options",
        mutant("a log-sum-exp unscaled", "stats_lse", "z_scale() * acc.max", "acc.max"),
    ),
    in_kernels(
        "scaled options",
        mutant(
            "the target's p unscaled",
            FINISH,
            "exp(z_scale() * (row.target_logit - acc.max))",
            "exp(row.target_logit - acc.max)",
        ),
    ),
    in_kernels(
        "scaled options",
        mutant(
            "columns unscaled",
            "column_exp",
            "exp(z_scale() * (chain(x) - Values(coef.max)))",
            "exp(chain(x) - Values(coef.max))",
        ),
    ),
    in_kernels(
        "scaled options",
        mutant(
            "the sign of a large scale forgotten",
            "chain_softcap",
            "x * params.logit_scale;",
            "x * abs(params.logit_scale);",
        ),
    ),
    in_kernels(
        "scaled options",
        mutant(
            "a large scale's slope forgotten",
            "chain_softcap",
            "params.logit_scale * params.z_scale",
            "params.logit_scale",
        ),
    ),
    in_kernels("options", mutant("tanh's series cut short", "chain_softcap", "0.13333334", "0.0")),
    in_kernels(
        "options",
        mutant(
            "rows counted, not weighed",
            "scan_targets",
            "weight = class_weight(target_index.x)",
            "weight = 1.0",
        ),
    ),
];

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
        // No bound knows logits that overflow when they are scaled; tests/extremes.rs does.
        let is_scaled = subject.name.ends_with("scaled options");
        let known = |case: &&Case| !(is_scaled && case.name.starts_with("Extremes"));
        return cases.iter().filter(known).find_map(|case| {
            let weights = (0..case.classes).map(|j| 0.5 + (j % 3) as f64);
            let op = CrossEntropy::new()
                .with_class_weights(weights)
                .with_label_smoothing(0.2)
                .with_z_loss(1e-2);
            let op = if is_scaled {
                op.with_logit_scale(-1.5)
            } else {
                op.with_softcap(15.0).with_logit_scale(1.5)
            };
            suite::with_options(subject, case, &op).err()
        });
    }
    cases.iter().find_map(|case| suite::check(subject, case).err())
}

/// The name of a mutant that was not rejected for what it does.
fn survivor(mutant: &Mutant, failure: Option<String>) -> Option<String> {
    match failure {
        // A mutant that does not compile proves nothing.
        Some(failure) if failure.contains("shader") => Some(format!("{}: {failure}", mutant.what)),
        Some(_) => None,
        None => Some(mutant.what.to_owned()),
    }
}

#[test]
fn the_suite_rejects_every_mutant_of_16_bits() {
    let gpu = common::gpu();
    let mut survivors = Vec::new();
    for (dtype, mutant) in NARROW {
        let mutated = subject(&gpu.with_sources(mutant.sources()), mutant.kernels, mutant.reduce);
        survivors.extend(survivor(mutant, narrow_failure(&mutated, *dtype)));
    }
    assert!(survivors.is_empty(), "survived: {survivors:#?}");
    for dtype in [Dtype::F16, Dtype::Bf16] {
        assert_eq!(narrow_failure(&subject(&gpu, "row", Reduce::Tree), dtype), None);
    }
}

#[test]
fn the_suite_rejects_every_mutant_of_masks() {
    let gpu = common::gpu();
    for kernels in ["row", "elements", "recorded"] {
        assert_eq!(mask_failure(&gpu, kernels), None, "{kernels}");
    }
    let of = |mutant: &Mutant| {
        survivor(mutant, mask_failure(&gpu.with_sources(mutant.sources()), mutant.kernels))
    };
    let survivors: Vec<_> = MASKS.iter().filter_map(of).collect();
    assert!(survivors.is_empty(), "survived: {survivors:#?}");
}

#[test]
fn the_suite_rejects_every_mutant_of_products() {
    let gpu = common::gpu();
    let mut survivors = Vec::new();
    let subjects = [
        (PRODUCTS, product_failure as fn(&Gpu) -> _),
        (LAYERS, layer_failure),
        (KEPT, kept_failure),
    ];
    for (mutants, fails) in subjects {
        assert_eq!(fails(&gpu), None);
        for mutant in mutants {
            survivors.extend(survivor(mutant, fails(&gpu.with_sources(mutant.sources()))));
        }
    }
    assert!(survivors.is_empty(), "survived: {survivors:#?}");
}

#[test]
fn the_suite_rejects_every_mutant_of_sums() {
    let gpu = common::gpu();
    let mut survivors = Vec::new();
    let subjects = [(RECORDED, recorded_failure as fn(&Gpu) -> _), (OF_A_DEVICE, device_failure)];
    for (mutants, fails) in subjects {
        assert_eq!(fails(&gpu), None);
        for mutant in mutants {
            survivors.extend(survivor(mutant, fails(&gpu.with_sources(mutant.sources()))));
        }
    }
    assert!(survivors.is_empty(), "survived: {survivors:#?}");
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
        let sources = mutant.sources();
        let mutated = subject(&gpu.with_sources(sources), mutant.kernels, mutant.reduce);
        let failure = if FAMILY.iter().any(|member| member.kernels == mutant.kernels) {
            family_failure(&mutated, mutant.kernels)
        } else {
            first_failure(&mutated, &cases)
        };
        survivors.extend(survivor(mutant, failure));
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
