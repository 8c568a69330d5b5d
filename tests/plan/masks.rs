//! What comes before the rows where some of them, or some elements, do not count.

use proptest::prelude::*;
use surprisal::gpu::plan::{Bound, Plan, Problem, Role, Step};
use surprisal::gpu::{Kernel, RowOp, Slot};

use super::{bound, row_kernel};

/// Every row's target, and every element's label, once and before it is read; and counted before the
/// first gradient.
pub(crate) fn check(plan: &Plan, problem: &Problem) -> Result<(), TestCaseError> {
    let first_row_kernel = plan
        .steps
        .iter()
        .position(|step| row_kernel(step).is_some_and(|kernel| kernel.op != RowOp::ElementCounts));
    let first = first_row_kernel.unwrap_or(plan.steps.len());
    let (before, after) = plan.steps.split_at(first);
    let makes = |step: &&Step| {
        matches!(
            step.kernel,
            Kernel::MaskTargets(_) | Kernel::MaskLabels { .. } | Kernel::FinishCounts
        )
    };
    prop_assert!(!after.iter().any(|step| makes(&step)), "masks come first");
    let rows_of = |is_one: &dyn Fn(&Step) -> bool| -> u64 {
        before.iter().filter(|step| is_one(step)).map(|step| u64::from(step.params.rows)).sum()
    };
    let of_targets = rows_of(&|step| matches!(step.kernel, Kernel::MaskTargets(_)));
    let of_labels = rows_of(&|step| matches!(step.kernel, Kernel::MaskLabels { .. }));
    // Split rows are counted by two kernels.
    let counted = rows_of(&|step| {
        row_kernel(step).is_some_and(|kernel| {
            kernel.op == RowOp::ElementCounts && kernel.family != surprisal::gpu::Family::SplitSweep
        })
    });
    let (masks_rows, elements) = (problem.row_mask.is_some(), problem.element_mask);
    prop_assert_eq!(of_targets, if masks_rows { problem.rows } else { 0 });
    let has_labels = elements.is_some_and(|mask| mask.labels.is_some());
    prop_assert_eq!(of_labels, if has_labels { problem.rows } else { 0 });
    let is_counted = elements.is_some_and(|mask| mask.is_counted);
    prop_assert_eq!(counted, if is_counted { problem.rows } else { 0 });

    let (mut row, mut label_row) = (0, 0);
    for step in before {
        let p = &step.params;
        match (step.kernel, problem.row_mask, elements) {
            (Kernel::MaskTargets(width), Some(mask), _) => {
                let starts = [
                    (Slot::Mask, mask.offset + row, p.mask_offset, 1),
                    (Slot::Output, row * 8, p.output_offset, 8),
                ];
                for (slot, want, residual, width) in starts {
                    let bound = bound(step, slot).expect("it is bound");
                    prop_assert_eq!(bound.offset + u64::from(residual) * width, want);
                }
                prop_assert_eq!(width, mask.targets.map(|own| own.width));
                if let (Some(own), Some(bound)) = (mask.targets, bound(step, Slot::Targets)) {
                    let width = own.width.bytes();
                    let start = bound.offset + u64::from(p.targets_offset) * width;
                    prop_assert_eq!(start, own.offset + row * width);
                    prop_assert_eq!(bound.role, Role::OwnTargets);
                }
                row += u64::from(p.rows);
            }
            (Kernel::MaskLabels { masked, .. }, _, Some(made)) => {
                let output = bound(step, Slot::Output).expect("it is bound");
                let start = output.offset + u64::from(p.output_offset) * 4;
                prop_assert_eq!(start, label_row * made.row_stride);
                prop_assert_eq!(u64::from(p.columns) * 4, made.row_stride);
                let own = made.labels.and_then(|labels| labels.mask);
                prop_assert_eq!(masked, own.is_some());
                if let (Some(own), Some(bound)) = (own, bound(step, Slot::Mask)) {
                    let start = bound.offset + u64::from(p.mask_offset);
                    prop_assert_eq!(start, own + label_row * problem.classes);
                    prop_assert_eq!(bound.role, Role::OwnMask);
                }
                label_row += u64::from(p.rows);
            }
            _ => {}
        }
    }
    Ok(())
}

/// A mask's bytes are within it.
pub(crate) fn check_mask(
    bound: &Bound,
    problem: &Problem,
    plan: &Plan,
) -> Result<(), TestCaseError> {
    let end = bound.offset + bound.size;
    let elements = problem.rows * problem.classes;
    let last = match (problem.row_mask, problem.element_mask, bound.role) {
        (Some(mask), _, _) => mask.offset + problem.rows,
        (_, Some(made), Role::OwnMask) => {
            made.labels.and_then(|labels| labels.mask).map_or(0, |own| own + elements)
        }
        (_, Some(made), _) if made.labels.is_some() => plan.mask_bytes,
        (_, Some(mask), _) => mask.offset + elements,
        _ => 0,
    };
    prop_assert!(end <= last.next_multiple_of(4), "{bound:?} past {last}");
    Ok(())
}
