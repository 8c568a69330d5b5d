//! What dispatches count for: the elements of matrices that pass, worked out by hand.

use surprisal::gpu::plan::{Destination, Ignored, Layer, Plan, Problem, Region};
use surprisal::gpu::{Family, Form, Kernel, RowOp, Tuning};
use surprisal::{Dtype, Reduction};

use crate::problems::main_pass;
use crate::{h200, loss_and_gradient, row_kernel, tight};

fn costs(plan: &Plan, is_counted: impl Fn(&Kernel) -> bool) -> Vec<u64> {
    plan.steps.iter().filter(|step| is_counted(&step.kernel)).map(|step| step.cost).collect()
}

fn of_family(plan: &Plan, family: Family) -> Vec<u64> {
    let of = |step: &&_| row_kernel(step).is_some_and(|kernel| kernel.family == family);
    plan.steps.iter().filter(of).map(|step| step.cost).collect()
}

fn plan(problem: &Problem) -> Plan {
    let mut tuning = Tuning::new(&h200());
    tuning.max_row_workgroup = 256;
    Plan::new(problem, &h200(), &tuning).expect("it fits")
}

#[test]
fn rows_count_what_they_read_and_write() {
    let alone = |problem: &Problem| plan(problem).steps[0].cost;
    let softmax = |rows, classes| Problem {
        passes: vec![main_pass(RowOp::Softmax, Destination::InPlace)],
        targets: None,
        reduction: Reduction::None,
        ..loss_and_gradient(rows, classes)
    };
    assert_eq!(alone(&softmax(10, 1000)), 20_000);
    assert_eq!(alone(&softmax(10, 5)), 640, "as much as rows of 32");
    let factors = Some(tight(1000));
    assert_eq!(alone(&Problem { factors, ..softmax(10, 1000) }), 30_000);
}

#[test]
fn what_rows_leave_counts_for_four_elements() {
    let plan_of = plan(&loss_and_gradient(10_000, 8));
    assert_eq!(costs(&plan_of, |k| matches!(k, Kernel::ScanTargets(..))), [40_000]);
    assert_eq!(costs(&plan_of, |k| matches!(k, Kernel::SumLoss { .. })), [40_000]);
    let folds = |k: &Kernel| matches!(k, Kernel::FinishTargets | Kernel::FinishMean);
    assert_eq!(costs(&plan_of, folds), [12, 12], "three blocks");
    let input = Region { dtype: Dtype::F16, ..tight(333) };
    let halves = plan(&Problem { input, ..loss_and_gradient(10, 333) });
    assert_eq!(costs(&halves, |k| *k == Kernel::JoinEdges), [40]);
}

#[test]
fn pieces_of_rows_count_for_what_they_leave() {
    let split = plan(&loss_and_gradient(3, 1 << 16));
    assert_eq!(of_family(&split, Family::SplitSweep), [3 * 2 * 65_536]);
    assert_eq!(of_family(&split, Family::SplitFinish), [3 * 64 * 4]);
    assert_eq!(of_family(&split, Family::SplitColumns), [3 * 2 * 65_536]);
}

/// A layer of 1000 classes and 64 columns, of 100 rows.
fn layer(gradients: bool) -> (Layer, Problem) {
    let vector = Region { row_stride: 0, ..tight(0) };
    let gradient = |region| gradients.then_some(region);
    let output = if gradients { Destination::InPlace } else { Destination::None };
    let layer = Layer {
        width: 64,
        hidden: tight(64),
        weight: tight(64),
        bias: Some(vector),
        dhidden: gradient(tight(64)),
        dweight: gradient(tight(64)),
        dbias: gradient(vector),
        scratch_bytes: 1 << 20,
        ignored: Ignored::Multiplied,
    };
    let passes = vec![main_pass(RowOp::CrossEntropy, output)];
    (layer, Problem { passes, ..loss_and_gradient(100, 1000) })
}

#[test]
fn products_count_by_the_time_that_they_take() {
    let mut tuning = Tuning::new(&h200());
    // Ten operations in the time of an element.
    (tuning.elements_per_second, tuning.operations_per_second) = (1 << 30, 10 << 30);
    let (made, problem) = layer(true);
    let plan = made.plan(&problem, &h200(), &tuning).expect("it fits");
    let of = |form| move |k: &Kernel| matches!(k, Kernel::Product(product) if product.form == form);
    let each = 2 * 100 * 1000 * 64 / 10;
    assert_eq!(costs(&plan, of(Form::RightTransposed)), [each]);
    assert_eq!(costs(&plan, of(Form::Plain)), [each]);
    assert_eq!(costs(&plan, of(Form::LeftTransposed)), [each]);
    assert_eq!(costs(&plan, |k| *k == Kernel::ColumnSums), [100 * 1000]);

    let (made, problem) = layer(false);
    let plan = made.plan(&problem, &h200(), &tuning).expect("it fits");
    let sweeps = costs(&plan, |k| matches!(k, Kernel::TileSweep(_)));
    assert_eq!(sweeps.iter().sum::<u64>(), each, "sweeping is a small part");
    let finish = plan.steps.iter().find(|step| matches!(step.kernel, Kernel::TileFinish(_)));
    let finish = finish.expect("rows are finished");
    assert_eq!(finish.cost, 100 * u64::from(finish.params.splits) * 4);
}

#[test]
fn a_chunk_of_logits_is_read_and_written() {
    let (made, problem) = layer(true);
    let plan = made.plan_in_blocks(&problem, &h200(), &Tuning::new(&h200()), 600);
    let plan = plan.expect("it fits");
    assert_eq!(of_family(&plan, Family::SplitColumns), [2 * 100 * 600, 2 * 100 * 400]);
}
