//! Planning against made-up limits: pure data, no GPU.

mod carried_out;
mod chunks;
mod costs;
mod kept;
mod machine;
mod masks;
mod problems;
mod products;
mod sizes;
mod sweeps;

use std::collections::HashSet;
use std::time::Duration;

use problems::{caps, cases, main_pass, problem};
use proptest::prelude::*;
use surprisal::gpu::plan::{
    Bound, Destination, HELD_WORDS, LossNumbers, MAX_WORDS_A_LANE, Plan, Problem, ROW_BLOCK,
    Region, Role, Step, TargetRegion, UpstreamRegion,
};
use surprisal::gpu::{
    Caps, Family, Kernel, Reduce, RowKernel, RowOp, Sharing, Slot, TargetType, Tuning,
};
use surprisal::{Dtype, Error, Reduction};

fn row_kernel(step: &Step) -> Option<RowKernel> {
    if let Kernel::Rows(kernel) = step.kernel { Some(kernel) } else { None }
}

fn bound(step: &Step, slot: Slot) -> Option<Bound> {
    step.bindings.iter().copied().find(|bound| bound.slot == slot)
}

/// Steps that handle rows, one a window: split rows have up to three.
fn windows(plan: &Plan) -> Vec<&Step> {
    let handles =
        |family| matches!(family, Family::Row | Family::Held | Family::Lane | Family::SplitSweep);
    let is_window = |kernel: RowKernel| handles(kernel.family) && kernel.op != RowOp::ElementCounts;
    plan.steps.iter().filter(|s| row_kernel(s).is_some_and(is_window)).collect()
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
        if let Some(mask) = problem.element_mask {
            check_vector(
                step,
                Slot::Mask,
                (mask.offset, 1),
                p.mask_offset,
                next_row * mask.row_stride,
            )?;
            prop_assert!(
                bound(step, Slot::Mask).is_none() || u64::from(p.mask_stride) == mask.row_stride
            );
        }
        if i % passes == passes - 1 {
            next_row += u64::from(step.params.rows);
        }
    }
    prop_assert_eq!(next_row, problem.rows, "every row");

    let kernels: HashSet<_> = windows(&plan).iter().map(|s| (s.kernel, s.workgroup_size)).collect();
    prop_assert!(kernels.len() <= passes, "one kernel a pass, whatever the windows");
    masks::check(&plan, problem)?;
    for step in &plan.steps {
        check_step(step, problem, &plan, caps)?;
        check_cost(step, problem, tuning)?;
    }
    Ok(())
}

/// No dispatch has more elements than the budget has time for, but for one row, or one block of rows'
/// results; and it counts all that it touches.
fn check_cost(step: &Step, problem: &Problem, tuning: &Tuning) -> Result<(), TestCaseError> {
    let seconds = tuning.budget.as_secs_f64();
    let room = (tuning.elements_per_second as f64 * seconds).max(1.0);
    let rows = u64::from(step.params.rows);
    let (least, touched) = match (step.kernel, row_kernel(step).map(|kernel| kernel.family)) {
        (_, Some(Family::SplitFinish)) => (1, rows),
        (_, Some(_)) => {
            let matrices = [Slot::Input, Slot::Second, Slot::Factors, Slot::Output];
            let by_element = matches!(problem.upstream, UpstreamRegion::Elements(_));
            let matrices = matrices.into_iter().chain(by_element.then_some(Slot::Dloss));
            let bound = matrices.filter(|slot| bound(step, *slot).is_some()).count();
            (1, rows * problem.classes * bound as u64)
        }
        (
            Kernel::MaskTargets(_)
            | Kernel::ScanTargets(..)
            | Kernel::SumLoss { .. }
            | Kernel::SumMetrics,
            _,
        ) => (ROW_BLOCK, rows),
        (Kernel::JoinEdges, _) => (1, rows),
        (Kernel::MaskLabels { .. }, _) => (1, rows * problem.classes),
        // What folds the blocks.
        _ => (problem.rows, 0),
    };
    prop_assert!(step.cost as f64 <= room || rows <= least, "{step:?} for {room} elements");
    prop_assert!(step.cost >= touched, "{step:?} touches {touched}");
    Ok(())
}

/// The byte after the last u32 of a matrix.
fn end_of(problem: &Problem, region: Region) -> u64 {
    let elements = (problem.rows - 1) * region.row_stride + problem.classes;
    (region.offset + elements * region.dtype.size() as u64).next_multiple_of(4)
}

/// The words of a row, and how many of them a lane goes through.
fn check_words(step: &Step, problem: &Problem) -> Result<(), TestCaseError> {
    let (p, Some(kernel)) = (&step.params, row_kernel(step)) else { return Ok(()) };
    let words = match kernel.family {
        Family::SplitSweep | Family::SplitColumns => p.split_words,
        Family::SplitFinish => p.splits,
        _ => p.words,
    };
    let lanes = if kernel.family == Family::Lane { 1 } else { step.workgroup_size };
    if kernel.family == Family::Held {
        prop_assert!(p.words <= HELD_WORDS * lanes, "every word has a place");
        prop_assert_eq!(p.swept_words, p.words, "and is swept");
    }
    prop_assert!(u64::from(words.div_ceil(lanes)) <= MAX_WORDS_A_LANE);
    let width = kernel.word.width();
    prop_assert_eq!(u64::from(p.words), problem.classes.div_ceil(width.into()));
    prop_assert!(kernel.word.is_ragged() || p.words * width == p.classes);
    prop_assert!(p.splits == 0 || p.splits * p.split_words >= p.words, "the whole row");
    Ok(())
}

/// Workgroups without which something would not be computed.
fn groups_needed(step: &Step) -> u64 {
    let p = &step.params;
    match row_kernel(step).map(|k| k.family) {
        Some(Family::Lane) => u64::from(p.rows).div_ceil(step.workgroup_size.into()),
        Some(Family::SplitSweep | Family::SplitColumns) => u64::from(p.rows) * u64::from(p.splits),
        Some(_) => p.rows.into(),
        None if step.kernel == Kernel::JoinEdges => {
            (u64::from(p.rows) + 1).div_ceil(step.workgroup_size.into())
        }
        None if matches!(step.kernel, Kernel::MaskTargets(_)) => {
            u64::from(p.rows).div_ceil(step.workgroup_size.into())
        }
        None if matches!(step.kernel, Kernel::MaskLabels { .. }) => {
            let words = u64::from(p.rows) * u64::from(p.columns);
            words.div_ceil(step.workgroup_size.into())
        }
        None if matches!(
            step.kernel,
            Kernel::ScanTargets(..) | Kernel::SumLoss { metrics: false }
        ) =>
        {
            u64::from(p.rows).div_ceil(ROW_BLOCK)
        }
        None => 1,
    }
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
    let needed = groups_needed(step);
    prop_assert!(groups >= needed, "{groups} workgroups, {needed} needed");
    prop_assert!(groups - needed <= u64::from(step.grid[0]), "no row of the grid to spare");

    check_words(step, problem)?;
    if row_kernel(step).is_some_and(|kernel| kernel.reduce == Reduce::OneSubgroup) {
        let size = step.workgroup_size;
        prop_assert_eq!(caps.subgroups, Some((size, size)), "the workgroup is a subgroup");
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
            Slot::Mask => masks::check_mask(bound, problem, plan)?,
            Slot::Targets if bound.role == Role::OwnTargets => {
                let own = problem.row_mask.and_then(|mask| mask.targets).expect("they are bound");
                prop_assert!(end <= own.offset + problem.rows * own.width.bytes());
            }
            Slot::Output if bound.role == Role::Slot(Slot::Targets) => {
                prop_assert!(end <= plan.targets_bytes);
            }
            Slot::Output if bound.role == Role::Slot(Slot::Mask) => {
                prop_assert!(end <= plan.mask_bytes);
            }
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
            Slot::Params | Slot::Summary | Slot::Bias => {}
            other => prop_assert!(false, "{other:?} is of layers"),
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn plans_keep_the_limits(problem in problem(), caps in caps()) {
        check(&problem, &caps, &Tuning::new(&caps))?;
    }

    #[test]
    fn dispatches_keep_the_budget(problem in problem(), caps in caps(), parts in 1u64..60) {
        let mut tuning = Tuning::new(&caps);
        tuning.budget = Duration::from_secs(1);
        tuning.elements_per_second = (problem.rows * problem.classes / parts).max(1);
        check(&problem, &caps, &tuning)?;
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
        max_workgroup_size: 1024,
        workgroup_memory: 49_152,
        subgroups: Some((32, 32)),
        software: false,
        discrete: true,
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
        row_mask: None,
        element_mask: None,
        upstream: UpstreamRegion::Scalar(1.0),
        sharing: Sharing::Apart,
        reduction: Reduction::Mean,
        loss: LossNumbers::default(),
    }
}

/// 20 x 20 workgroups of one lane have 400 places; 400 rows have 401 edges.
#[test]
fn a_window_leaves_a_place_behind_its_last_row() {
    let caps = Caps { max_workgroups: 20, max_workgroup_size: 1, subgroups: None, ..h200() };
    let halves = Region { dtype: Dtype::F16, ..tight(1) };
    let softmax = Problem {
        passes: vec![main_pass(RowOp::Softmax, Destination::InPlace)],
        input: halves,
        targets: None,
        reduction: Reduction::None,
        ..loss_and_gradient(1764, 1)
    };
    check(&softmax, &caps, &Tuning::new(&caps)).expect("the limits are kept");
}

fn families(rows: u64, classes: u64) -> Vec<Family> {
    let caps = h200();
    let mut tuning = Tuning::new(&caps);
    // What a shorter one cuts is another test's.
    tuning.budget = Duration::MAX;
    let plan = Plan::new(&loss_and_gradient(rows, classes), &caps, &tuning);
    plan.expect("it fits").steps.iter().filter_map(row_kernel).map(|k| k.family).collect()
}

#[test]
fn shapes_get_their_kernels() {
    assert_eq!(families(1000, 10), [Family::Lane]);
    assert_eq!(families(1000, 1000), [Family::Held]);
    assert_eq!(families(1000, 32_768), [Family::Held], "8 words of 4 elements for each lane");
    assert_eq!(families(1000, 32_772), [Family::Row]);
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
