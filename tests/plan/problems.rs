//! Made-up limits and problems.

use proptest::prelude::*;
use surprisal::gpu::plan::{
    Destination, ElementMask, LabelMask, LossNumbers, Pass, Problem, Region, Role, RowMask,
    TargetRegion, UpstreamRegion,
};
use surprisal::gpu::{Caps, Chain, ElementOp, RowOp, Sharing, Slot, TargetType, Weighting};
use surprisal::{Dtype, InputForm, Reduction};

/// So many cases, unless `PROPTEST_CASES` says otherwise.
pub(crate) fn cases(count: u32) -> ProptestConfig {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let is_set = std::env::var_os("PROPTEST_CASES").is_some();
    ProptestConfig { cases: if is_set { config.cases } else { count }, ..config }
}

pub(crate) fn caps() -> impl Strategy<Value = Caps> {
    let alignment = prop::sample::select(vec![16u64, 32, 64, 256]);
    let subgroups = prop::sample::select(vec![None, Some((4, 4)), Some((8, 32)), Some((64, 64))]);
    (12u32..32, 20u32..70_000, alignment, 1u32..=1024, subgroups, any::<bool>(), 3u32..9).prop_map(
        |(binding, max_workgroups, alignment, lanes, subgroups, software, bindings)| Caps {
            max_binding_bytes: (1u64 << binding) - 4,
            max_buffer_bytes: 1 << 40,
            max_workgroups,
            max_storage_bindings: bindings,
            storage_alignment: alignment,
            max_workgroup_size: lanes,
            workgroup_memory: 16_384,
            subgroups,
            software,
            discrete: !software && binding % 2 == 0,
        },
    )
}

/// Four matrices of one type, at any element.
fn matrices(classes: u64) -> impl Strategy<Value = [Region; 4]> {
    let place = || (0u64..1000, 0u64..9);
    let dtypes = prop::sample::select(vec![Dtype::F32, Dtype::F16, Dtype::Bf16]);
    (dtypes, [place(), place(), place(), place()]).prop_map(move |(dtype, places)| {
        places.map(|(offset, gap)| Region {
            offset: offset * dtype.size() as u64,
            row_stride: classes + gap,
            dtype,
        })
    })
}

/// The same place in a buffer of f32.
fn in_f32(region: Region) -> Region {
    Region { offset: region.offset / region.dtype.size() as u64 * 4, dtype: Dtype::F32, ..region }
}

pub(crate) fn main_pass(op: RowOp, output: Destination) -> Pass {
    Pass { op, output, role: Role::Slot(Slot::Output) }
}

const OPS: [RowOp; 17] = [
    RowOp::CrossEntropy,
    RowOp::CrossEntropy,
    RowOp::LabelCrossEntropy,
    RowOp::Focal,
    RowOp::Softmax,
    RowOp::LogSoftmax,
    RowOp::LogSumExp,
    RowOp::SoftmaxBackward,
    RowOp::LogSoftmaxBackward,
    RowOp::Entropy,
    RowOp::Kl,
    RowOp::ReverseKl,
    RowOp::Js,
    RowOp::Elements(ElementOp::BinaryLogits),
    RowOp::Elements(ElementOp::Huber),
    RowOp::ElementLosses(ElementOp::BinaryLogits),
    RowOp::ElementLosses(ElementOp::Hinge),
];

/// What a loss may have besides its operation.
#[derive(Debug, Clone, Copy)]
struct Choice {
    op: RowOp,
    matrices: [Region; 4],
    output: Option<bool>,
    reduction: Reduction,
    per_loss: Option<u16>,
    width: TargetType,
    weighting: Weighting,
    chain: Chain,
    form: InputForm,
    metrics: bool,
    extra: bool,
    shared: bool,
    /// Where a mask lies, and whether labels are ignored besides.
    mask: Option<(u16, bool)>,
}

fn choice(classes: u64) -> impl Strategy<Value = Choice> {
    let sizes = (prop::sample::select(OPS.to_vec()), matrices(classes));
    let reductions = [Reduction::None, Reduction::Mean, Reduction::Sum];
    let weightings = [Weighting::None, Weighting::Weights, Weighting::Smoothed];
    let forms = [InputForm::Logits, InputForm::LogProbs, InputForm::Probs];
    let options = (
        prop::sample::select(weightings.to_vec()),
        prop::sample::select(vec![Chain::None, Chain::Softcap]),
        prop::sample::select(forms.to_vec()),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
    );
    let rest = (
        any::<Option<bool>>(),
        prop::sample::select(reductions.to_vec()),
        any::<Option<u16>>(),
        prop::sample::select(vec![TargetType::I32, TargetType::I64]),
        any::<Option<(u16, bool)>>(),
    );
    (sizes, rest, options).prop_map(
        |(
            (op, matrices),
            (output, reduction, per_loss, width, mask),
            (weighting, chain, form, metrics, extra, shared),
        )| {
            Choice {
                op,
                matrices,
                output,
                reduction,
                per_loss,
                width,
                weighting,
                chain,
                form,
                metrics,
                extra,
                shared,
                mask,
            }
        },
    )
}

/// The main pass, and those beside it.
fn passes_of(op: RowOp, output: Destination, fourth: Region, extra: bool) -> Vec<Pass> {
    let mut passes = vec![main_pass(op, output)];
    let aside = Destination::Separate(fourth);
    match op {
        RowOp::Js => passes.insert(0, main_pass(RowOp::PairStats, Destination::None)),
        RowOp::LabelCrossEntropy if extra => {
            passes.insert(0, Pass { op: RowOp::TargetGradient, output: aside, role: Role::Aside });
        }
        RowOp::Elements(element) if extra => {
            let op = RowOp::ElementLosses(element);
            let output = Destination::Separate(in_f32(fourth));
            passes.insert(0, Pass { op, output, role: Role::Aside });
        }
        _ => {}
    }
    passes
}

/// The problem that a recording would make of a choice.
fn problem_of(rows: u64, classes: u64, choice: Choice) -> Problem {
    let Choice { op, matrices: [input, second, third, fourth], .. } = choice;
    let is_element = matches!(op, RowOp::Elements(_) | RowOp::ElementLosses(_));
    let has_targets = matches!(op, RowOp::CrossEntropy | RowOp::Focal);
    let is_cross_entropy = matches!(op, RowOp::CrossEntropy | RowOp::LabelCrossEntropy);
    let is_divergence = matches!(op, RowOp::Kl | RowOp::ReverseKl | RowOp::Js);
    let is_plain = matches!(
        op,
        RowOp::Softmax | RowOp::LogSoftmax | RowOp::SoftmaxBackward | RowOp::LogSoftmaxBackward
    );
    let by_row = matches!(op, RowOp::LogSumExp | RowOp::Entropy);
    let must_write = is_plain || matches!(op, RowOp::ElementLosses(_));
    let is_narrow = input.dtype != Dtype::F32;
    let output = match (op, choice.output) {
        // Losses are f32.
        (RowOp::ElementLosses(_), Some(true)) => Destination::Separate(in_f32(third)),
        (RowOp::ElementLosses(_), _) if is_narrow => Destination::Separate(in_f32(third)),
        (_, None) if !must_write => Destination::None,
        (_, Some(true)) => Destination::Separate(third),
        _ => Destination::InPlace,
    };
    let passes = passes_of(op, output, fourth, choice.extra);
    let is_loss = !is_plain && !by_row;
    let reduction = if is_loss { choice.reduction } else { Reduction::None };
    let upstream = match choice.per_loss {
        Some(_) if is_element && reduction == Reduction::None => {
            UpstreamRegion::Elements(in_f32(second))
        }
        Some(at) if !is_element && reduction == Reduction::None && !is_plain => {
            UpstreamRegion::Rows(u64::from(at) * 4)
        }
        _ if by_row => UpstreamRegion::Rows(0),
        _ => UpstreamRegion::Scalar(1.0),
    };
    let has_forms = is_cross_entropy || is_divergence;
    let normalized = choice.form != InputForm::Logits && is_cross_entropy;
    let weighting = match choice.weighting {
        _ if op == RowOp::CrossEntropy && !normalized => choice.weighting,
        Weighting::Weights if is_cross_entropy || op == RowOp::Focal => Weighting::Weights,
        _ => Weighting::None,
    };
    let backward = matches!(op, RowOp::SoftmaxBackward | RowOp::LogSoftmaxBackward);
    let has_second = backward || is_element || is_divergence || op == RowOp::LabelCrossEntropy;
    let width = choice.width;
    let own = has_targets.then_some(TargetRegion { offset: 40, width, ignore_index: Some(-1) });
    let row_mask = choice.mask.filter(|_| !is_element);
    let row_mask = row_mask.map(|(at, _)| RowMask { offset: at.into(), targets: own });
    let masked = TargetRegion { offset: 0, width: TargetType::I64, ignore_index: Some(-1) };
    let element_mask = choice.mask.filter(|_| is_element).map(|(at, by_label)| {
        let is_counted = reduction == Reduction::Mean && choice.extra;
        let labels = by_label
            .then_some(LabelMask { ignored: -100.0, mask: choice.metrics.then_some(at.into()) });
        let row_stride = if by_label { classes.next_multiple_of(4) } else { classes };
        let offset = if by_label { 0 } else { at.into() };
        ElementMask { offset, row_stride, labels, is_counted }
    });
    Problem {
        passes,
        rows,
        classes,
        input,
        second: has_second.then_some(second),
        factors: (is_element && choice.metrics).then_some(third),
        targets: row_mask.map(|_| masked).or(own),
        row_mask,
        element_mask,
        upstream,
        sharing: if choice.shared { Sharing::Shared } else { Sharing::Apart },
        reduction,
        loss: LossNumbers {
            weighting,
            chain: if has_forms && !normalized { choice.chain } else { Chain::None },
            form: if has_forms { choice.form } else { InputForm::Logits },
            metrics: is_cross_entropy && choice.metrics,
            ..LossNumbers::default()
        },
    }
}

pub(crate) fn problem() -> impl Strategy<Value = Problem> {
    let sizes = (0u64..200_000, 1u64..3000).prop_union_with_long();
    sizes.prop_flat_map(|(rows, classes)| {
        choice(classes).prop_map(move |choice| problem_of(rows, classes, choice))
    })
}

trait LongRows {
    fn prop_union_with_long(self) -> BoxedStrategy<(u64, u64)>;
}

impl<S: Strategy<Value = (u64, u64)> + 'static> LongRows for S {
    /// Also few and very long rows, up to a million classes.
    fn prop_union_with_long(self) -> BoxedStrategy<(u64, u64)> {
        prop_oneof![self, (1u64..80, 30_000u64..1_000_000)].boxed()
    }
}
