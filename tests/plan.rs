//! Planning against made-up limits: pure data, no GPU.

use std::collections::HashSet;

use proptest::prelude::*;
use surprisal::gpu::plan::{
    Bound, Destination, LossNumbers, MAX_WORDS_A_LANE, Pass, Plan, Problem, ROW_BLOCK, Region,
    Role, Step, TargetRegion, UpstreamRegion,
};
use surprisal::gpu::{
    Caps, Chain, ElementOp, Family, Kernel, RowKernel, RowOp, Sharing, Slot, TargetType, Tuning,
    Weighting,
};
use surprisal::{Dtype, Error, InputForm, Reduction};

fn caps() -> impl Strategy<Value = Caps> {
    let alignment = prop::sample::select(vec![16u64, 32, 64, 256]);
    let subgroups = prop::sample::select(vec![None, Some((4, 4)), Some((8, 32)), Some((64, 64))]);
    (12u32..32, 20u32..70_000, alignment, 1u32..=1024, subgroups, any::<bool>(), 3u32..9).prop_map(
        |(binding, max_workgroups, alignment, lanes, subgroups, software, bindings)| Caps {
            max_binding_bytes: (1u64 << binding) - 4,
            max_buffer_bytes: 1 << 40,
            max_workgroups,
            max_storage_bindings: bindings,
            storage_alignment: alignment,
            uniform_alignment: 256,
            max_workgroup_size: lanes,
            workgroup_memory: 16_384,
            subgroups,
            software,
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

fn main_pass(op: RowOp, output: Destination) -> Pass {
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
    );
    (sizes, rest, options).prop_map(
        |(
            (op, matrices),
            (output, reduction, per_loss, width),
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
            }
        },
    )
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
    let mut passes = vec![main_pass(op, output)];
    let aside = Destination::Separate(fourth);
    match op {
        RowOp::Js => passes.insert(0, main_pass(RowOp::PairStats, Destination::None)),
        RowOp::LabelCrossEntropy if choice.extra => {
            passes.insert(0, Pass { op: RowOp::TargetGradient, output: aside, role: Role::Aside });
        }
        RowOp::Elements(element) if choice.extra => {
            let op = RowOp::ElementLosses(element);
            let output = Destination::Separate(in_f32(fourth));
            passes.insert(0, Pass { op, output, role: Role::Aside });
        }
        _ => {}
    }
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
    Problem {
        passes,
        rows,
        classes,
        input,
        second: has_second.then_some(second),
        factors: (is_element && choice.metrics).then_some(third),
        targets: has_targets.then_some(TargetRegion { offset: 40, width, ignore_index: Some(-1) }),
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

fn problem() -> impl Strategy<Value = Problem> {
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

fn row_kernel(step: &Step) -> Option<RowKernel> {
    if let Kernel::Rows(kernel) = step.kernel { Some(kernel) } else { None }
}

fn bound(step: &Step, slot: Slot) -> Option<Bound> {
    step.bindings.iter().copied().find(|bound| bound.slot == slot)
}

/// Steps that handle rows, one a window: split rows have up to three.
fn windows(plan: &Plan) -> Vec<&Step> {
    let handles = |family| matches!(family, Family::Row | Family::Lane | Family::SplitSweep);
    plan.steps.iter().filter(|s| row_kernel(s).is_some_and(|k| handles(k.family))).collect()
}

/// Where a matrix that a step binds has to start, if it binds it.
fn check_start(
    step: &Step,
    slot: Slot,
    region: Option<Region>,
    first_row: u64,
) -> Result<(), TestCaseError> {
    let (word, p) = (row_kernel(step).expect("it is a row kernel").word, &step.params);
    let residual = match slot {
        Slot::Input => p.input_offset,
        Slot::Second => p.second_offset,
        Slot::Output => p.output_offset,
        Slot::Factors => p.factors_offset,
        _ => p.dloss_offset,
    };
    if let (Some(bound), Some(region)) = (bound(step, slot), region) {
        let width = region.dtype.size() as u64;
        let start = bound.offset + u64::from(residual) * word.grain() * width;
        let row = first_row * region.row_stride * width;
        prop_assert_eq!(start, region.offset + row, "{:?}", slot);
    }
    Ok(())
}

/// The same for a vector with an entry for each row.
fn check_vector(
    step: &Step,
    slot: Slot,
    (offset, bytes): (u64, u64),
    residual: u32,
    first_row: u64,
) -> Result<(), TestCaseError> {
    if let Some(bound) = bound(step, slot) {
        let start = bound.offset + u64::from(residual) * bytes;
        prop_assert_eq!(start, offset + first_row * bytes, "{:?}", slot);
    }
    Ok(())
}

fn check(problem: &Problem, caps: &Caps, tuning: &Tuning) -> Result<(), TestCaseError> {
    let plan = match Plan::new(problem, caps, tuning) {
        Ok(plan) => plan,
        Err(Error::TooLarge { needed, limit, .. }) => {
            prop_assert!(needed > limit);
            return Ok(());
        }
        Err(Error::DeviceTooSmall { .. }) => return Ok(()),
        Err(other) => return Err(TestCaseError::fail(other.to_string())),
    };
    // Each pass goes through every row once, in the same windows.
    let passes = problem.passes.len();
    let mut next_row = 0;
    for (i, step) in windows(&plan).into_iter().enumerate() {
        let pass = problem.passes[i % passes];
        let p = &step.params;
        prop_assert_eq!(row_kernel(step).map(|k| k.op), Some(pass.op));
        check_start(step, Slot::Input, Some(problem.input), next_row)?;
        check_start(step, Slot::Second, problem.second, next_row)?;
        check_start(step, Slot::Factors, problem.factors, next_row)?;
        if let Destination::Separate(region) = pass.output {
            check_start(step, Slot::Output, Some(region), next_row)?;
        }
        let stats_row = if problem.loss.metrics { 16 } else { 8 };
        check_vector(step, Slot::Stats, (0, stats_row), p.stats_offset, next_row)?;
        check_vector(step, Slot::Pairs, (0, 16), p.pairs_offset, next_row)?;
        check_vector(step, Slot::Edges, (0, 8), p.edges_offset, next_row)?;
        if let Some(targets) = problem.targets {
            let entry = (targets.offset, targets.width.bytes());
            check_vector(step, Slot::Targets, entry, p.targets_offset, next_row)?;
        }
        match problem.upstream {
            UpstreamRegion::Rows(offset) => {
                check_vector(step, Slot::Dloss, (offset, 4), p.dloss_offset, next_row)?;
            }
            UpstreamRegion::Elements(region) => {
                check_start(step, Slot::Dloss, Some(region), next_row)?;
            }
            _ => {}
        }
        if i % passes == passes - 1 {
            next_row += u64::from(step.params.rows);
        }
    }
    prop_assert_eq!(next_row, problem.rows, "every row");

    let kernels: HashSet<_> = windows(&plan).iter().map(|s| (s.kernel, s.workgroup_size)).collect();
    prop_assert!(kernels.len() <= passes, "one kernel a pass, whatever the windows");
    for step in &plan.steps {
        check_step(step, problem, &plan, caps)?;
    }
    Ok(())
}

/// The byte after the last u32 of a matrix.
fn end_of(problem: &Problem, region: Region) -> u64 {
    let elements = (problem.rows - 1) * region.row_stride + problem.classes;
    (region.offset + elements * region.dtype.size() as u64).next_multiple_of(4)
}

fn check_step(
    step: &Step,
    problem: &Problem,
    plan: &Plan,
    caps: &Caps,
) -> Result<(), TestCaseError> {
    let p = &step.params;
    prop_assert!(step.workgroup_size.is_power_of_two());
    prop_assert!(step.workgroup_size <= caps.max_workgroup_size);
    prop_assert!(step.grid.iter().all(|&n| 0 < n && n <= caps.max_workgroups.max(1)));
    prop_assert_eq!(p.grid_width, step.grid[0]);
    let groups = u64::from(step.grid[0]) * u64::from(step.grid[1]);
    let needed = match row_kernel(step).map(|k| k.family) {
        Some(Family::Lane) => u64::from(p.rows).div_ceil(step.workgroup_size.into()),
        Some(Family::SplitSweep | Family::SplitColumns) => u64::from(p.rows) * u64::from(p.splits),
        Some(_) => p.rows.into(),
        None if step.kernel == Kernel::JoinEdges => {
            (u64::from(p.rows) + 1).div_ceil(step.workgroup_size.into())
        }
        None if matches!(
            step.kernel,
            Kernel::ScanTargets(..) | Kernel::SumLoss { metrics: false }
        ) =>
        {
            u64::from(p.rows).div_ceil(ROW_BLOCK)
        }
        None => 1,
    };
    prop_assert!(groups >= needed, "{groups} workgroups, {needed} needed");
    prop_assert!(groups - needed <= u64::from(step.grid[0]), "no row of the grid to spare");

    if let Some(kernel) = row_kernel(step) {
        let words = match kernel.family {
            Family::SplitSweep | Family::SplitColumns => p.split_words,
            Family::SplitFinish => p.splits,
            _ => p.words,
        };
        let lanes = if kernel.family == Family::Lane { 1 } else { step.workgroup_size };
        prop_assert!(u64::from(words.div_ceil(lanes)) <= MAX_WORDS_A_LANE);
        let width = kernel.word.width();
        prop_assert_eq!(u64::from(p.words), problem.classes.div_ceil(width.into()));
        prop_assert!(kernel.word.is_ragged() || p.words * width == p.classes);
        prop_assert!(p.splits == 0 || p.splits * p.split_words >= p.words, "the whole row");
    }
    let slots = step.kernel.bindings().len();
    prop_assert_eq!(step.bindings.len() + 1, slots, "everything but the params is bound");
    for bound in &step.bindings {
        prop_assert!(0 < bound.size && bound.size <= caps.max_binding_bytes);
        prop_assert_eq!(bound.offset % caps.storage_alignment, 0);
        prop_assert_eq!(bound.size % 4, 0);
        let end = bound.offset + bound.size;
        match bound.slot {
            Slot::Scratch => prop_assert!(end <= plan.scratch_bytes),
            Slot::Stats => prop_assert!(end <= plan.stats_bytes),
            Slot::Pairs => prop_assert!(end <= plan.pairs_bytes),
            Slot::Edges => prop_assert!(end <= plan.edges_bytes),
            Slot::Factors => {
                prop_assert!(problem.factors.is_some_and(|m| end <= end_of(problem, m)));
            }
            Slot::Input => prop_assert!(end <= end_of(problem, problem.input)),
            Slot::Second => prop_assert!(problem.second.is_some_and(|m| end <= end_of(problem, m))),
            Slot::Output => {
                let ends = problem.passes.iter().filter_map(|pass| match pass.output {
                    Destination::Separate(region) if pass.role == bound.role => {
                        Some(end_of(problem, region))
                    }
                    Destination::InPlace if bound.role == Role::Slot(Slot::Input) => {
                        Some(end_of(problem, problem.input))
                    }
                    _ => None,
                });
                prop_assert!(ends.into_iter().any(|e| end <= e));
            }
            Slot::Targets => {
                let targets = problem.targets.expect("they are bound");
                prop_assert!(end <= targets.offset + problem.rows * targets.width.bytes());
            }
            Slot::Dloss => match problem.upstream {
                UpstreamRegion::Rows(offset) => prop_assert!(end <= offset + problem.rows * 4),
                UpstreamRegion::Elements(region) => prop_assert!(end <= end_of(problem, region)),
                other => prop_assert!(false, "dloss is bound for {other:?}"),
            },
            Slot::Weights => prop_assert_eq!(end, problem.classes * 4),
            Slot::Params | Slot::Summary => {}
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn plans_keep_the_limits(problem in problem(), caps in caps()) {
        check(&problem, &caps, &Tuning::new(&caps))?;
    }
}

#[test]
fn plans_use_kernels_of_the_table() {
    let all: HashSet<_> = Kernel::all().into_iter().collect();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    runner
        .run(&(problem(), caps()), |(problem, caps)| {
            if let Ok(plan) = Plan::new(&problem, &caps, &Tuning::new(&caps)) {
                for step in &plan.steps {
                    prop_assert!(all.contains(&step.kernel), "{:?}", step.kernel);
                }
            }
            Ok(())
        })
        .expect("every planned kernel is checked by the shader tests");
}

fn h200() -> Caps {
    Caps {
        max_binding_bytes: (1 << 31) - 4,
        max_buffer_bytes: 1 << 37,
        max_workgroups: 65_535,
        max_storage_bindings: 8,
        storage_alignment: 32,
        uniform_alignment: 64,
        max_workgroup_size: 1024,
        workgroup_memory: 49_152,
        subgroups: Some((32, 32)),
        software: false,
    }
}

fn tight(classes: u64) -> Region {
    Region { offset: 0, row_stride: classes, dtype: Dtype::F32 }
}

fn loss_and_gradient(rows: u64, classes: u64) -> Problem {
    Problem {
        passes: vec![main_pass(RowOp::CrossEntropy, Destination::InPlace)],
        rows,
        classes,
        input: tight(classes),
        second: None,
        factors: None,
        targets: Some(TargetRegion { offset: 0, width: TargetType::I32, ignore_index: None }),
        upstream: UpstreamRegion::Scalar(1.0),
        sharing: Sharing::Apart,
        reduction: Reduction::Mean,
        loss: LossNumbers::default(),
    }
}

fn families(rows: u64, classes: u64) -> Vec<Family> {
    let caps = h200();
    let plan = Plan::new(&loss_and_gradient(rows, classes), &caps, &Tuning::new(&caps));
    plan.expect("it fits").steps.iter().filter_map(row_kernel).map(|k| k.family).collect()
}

#[test]
fn shapes_get_their_kernels() {
    assert_eq!(families(1000, 10), [Family::Lane]);
    assert_eq!(families(1000, 1000), [Family::Row]);
    let split = [Family::SplitSweep, Family::SplitFinish, Family::SplitColumns];
    assert_eq!(families(1, 128_256), split);
    assert_eq!(families(8192, 128_256), [Family::Row; 2], "two windows of 2 GiB");
}

#[test]
fn a_row_longer_than_a_binding_is_an_error() {
    let caps = Caps { max_binding_bytes: 1 << 20, ..h200() };
    let problem = loss_and_gradient(3, 1 << 19);
    let error = Plan::new(&problem, &caps, &Tuning::new(&caps)).expect_err("2 MiB do not fit");
    assert!(matches!(error, Error::TooLarge { needed: 2_097_152, .. }), "{error}");
}

#[test]
fn four_bindings_are_enough_for_the_core() {
    let caps = Caps { max_storage_bindings: 4, subgroups: None, ..h200() };
    for output in [Destination::None, Destination::InPlace, Destination::Separate(tight(1000))] {
        let passes = vec![main_pass(RowOp::CrossEntropy, output)];
        let problem = Problem { passes, ..loss_and_gradient(100, 1000) };
        Plan::new(&problem, &caps, &Tuning::new(&caps)).expect("GL's floor is enough");
    }
    let caps = Caps { max_storage_bindings: 2, ..caps };
    let error = Plan::new(&loss_and_gradient(100, 1000), &caps, &Tuning::new(&caps));
    assert!(matches!(error, Err(Error::DeviceTooSmall { .. })));
}
