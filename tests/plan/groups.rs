//! Which rows pass as a group: worked out by hand for single problems.

use surprisal::gpu::plan::{Destination, Plan, Problem};
use surprisal::gpu::{Caps, Family, Kernel, RowOp, Tuning};

use crate::problems::main_pass;
use crate::{h200, loss_and_gradient, row_kernel, tight};

/// 100 rows of 10,000 classes, in groups of 25 where there are any.
fn long_rows() -> Problem {
    loss_and_gradient(100, 10_000)
}

/// Rows of the dispatches that begin with rows, whatever the budget.
fn groups(problem: &Problem, caps: &Caps) -> Vec<u32> {
    let mut tuning = Tuning::new(caps);
    tuning.budget = std::time::Duration::MAX;
    (tuning.group_bytes, tuning.split_min_classes) = (25 * 40_000, 10_000);
    let plan = Plan::new(problem, caps, &tuning).expect("it fits");
    let first = problem.passes[0].op;
    let begins = |kernel: &Kernel| {
        matches!(kernel, Kernel::Rows(kernel) if kernel.op == first
            && matches!(kernel.family, Family::Row | Family::Held | Family::SplitSweep))
    };
    plan.steps.iter().filter(|step| begins(&step.kernel)).map(|step| step.params.rows).collect()
}

#[test]
fn rows_that_are_read_again_pass_in_groups() {
    assert_eq!(groups(&long_rows(), &h200()), [25; 4]);
    let few = Problem { rows: 25, ..long_rows() };
    assert_eq!(groups(&few, &h200()), [25], "all of them are one group");
    let short = Problem { classes: 9999, input: tight(9999), ..long_rows() };
    assert_eq!(groups(&short, &h200()), [100], "short rows");
}

#[test]
fn rows_that_are_read_once_pass_at_once() {
    let passes = vec![main_pass(RowOp::CrossEntropy, Destination::None)];
    assert_eq!(groups(&Problem { passes, ..long_rows() }, &h200()), [100]);
}

#[test]
fn two_passes_read_again_without_a_gradient() {
    let pass = |op| main_pass(op, Destination::None);
    let problem = Problem {
        passes: vec![pass(RowOp::PairStats), pass(RowOp::Js)],
        second: Some(tight(10_000)),
        targets: None,
        ..long_rows()
    };
    // Two matrices are read of a row.
    assert_eq!(groups(&problem, &h200()).iter().sum::<u32>(), 100);
    assert_eq!(groups(&problem, &h200())[0], 12);
}

#[test]
fn a_device_without_bindings_for_pieces_has_no_groups() {
    let split = |caps: &Caps| {
        let plan = Plan::new(&long_rows(), caps, &Tuning::new(caps)).expect("it fits");
        plan.steps.iter().filter_map(row_kernel).any(|kernel| kernel.family == Family::SplitSweep)
    };
    let caps = Caps { max_storage_bindings: 3, ..h200() };
    assert!(!split(&caps));
    assert_eq!(groups(&long_rows(), &caps), [100]);
}
