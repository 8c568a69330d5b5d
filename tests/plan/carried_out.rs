//! Plans do what they are made for, whatever limits cut them: carried out by [`Machine`], they leave what
//! plain loops over the whole matrices come to, and nothing beside it.

#![allow(clippy::cast_possible_wrap, clippy::cast_sign_loss, reason = "the numbers are small")]

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;
use surprisal::gpu::plan::{
    Destination, Ignored, Layer, Plan, Problem, Region, Role, Step, TargetRegion, UpstreamRegion,
};
use surprisal::gpu::{Caps, Form, Kernel, RowOp, Slot, TargetType, Tuning};
use surprisal::{Dtype, Error, Reduction};

use crate::loss_and_gradient;
use crate::machine::{Buffer, Machine, gradient, loss, term};
use crate::problems::{caps, cases, main_pass};

/// Small numbers, the same for the same seed.
fn number(seed: u64, index: u64) -> i64 {
    ((seed + 1) * (index * index + 31 * index + 7) % 101) as i64 - 50
}

/// Where element `column` of a row is, counted in elements of the buffer.
fn at(region: Region, row: u64, column: u64) -> usize {
    (region.offset / region.dtype.size() as u64 + row * region.row_stride + column) as usize
}

/// A buffer that holds so many rows of a matrix, with some elements to spare.
fn buffer(region: Region, rows: u64, columns: u64) -> Buffer {
    let width = region.dtype.size() as u64;
    Buffer::new(width, ((at(region, rows, columns) + 8) as u64) * width)
}

/// The same with numbers in the matrix.
fn filled(region: Region, rows: u64, columns: u64, seed: u64) -> Buffer {
    let mut buffer = buffer(region, rows, columns);
    for (row, column) in places(rows, columns) {
        buffer.data[at(region, row, column)] = number(seed, row * columns + column);
    }
    buffer
}

fn places(rows: u64, columns: u64) -> impl Iterator<Item = (u64, u64)> {
    (0..rows).flat_map(move |row| (0..columns).map(move |column| (row, column)))
}

fn row_of(buffer: &Buffer, region: Region, row: u64, columns: u64) -> Vec<i64> {
    let start = at(region, row, 0);
    buffer.data[start..start + columns as usize].to_vec()
}

/// What targets and upstream gradients of a batch are.
struct Labels {
    targets: Vec<i64>,
    upstream: Vec<i64>,
}

const IGNORED: i64 = -5;

impl Labels {
    /// With so many of every seven rows ignored.
    fn new(problem: &Problem, ignored: u64) -> Self {
        let (rows, classes) = (problem.rows, problem.classes);
        let target = |row: u64| {
            if (row + 4) % 7 < ignored { IGNORED } else { ((row * 37 + row / 5) % classes) as i64 }
        };
        let targets: Vec<i64> = (0..rows).map(target).collect();
        let kept = targets.iter().filter(|target| **target != IGNORED).count() as i64;
        let upstream = match problem.upstream {
            UpstreamRegion::Rows(_) => (0..rows).map(|row| number(5, row)).collect(),
            _ if problem.reduction == Reduction::Mean => vec![2 * kept; rows as usize],
            _ => vec![2; rows as usize],
        };
        Self { targets, upstream }
    }

    /// The caller's buffers of them.
    fn buffers(&self, problem: &Problem) -> HashMap<Role, Buffer> {
        let targets = problem.targets.expect("cross-entropy has some");
        let width = targets.width.bytes();
        let rows = problem.rows;
        let vector = |width: u64, offset: u64, values: &[i64]| {
            let mut buffer = Buffer::new(width, offset + (rows + 3) * width);
            let start = (offset / width) as usize;
            buffer.data[start..start + values.len()].copy_from_slice(values);
            buffer
        };
        let mut all = HashMap::new();
        let role = Role::Slot(Slot::Targets);
        all.insert(role, vector(width, targets.offset, &self.targets));
        if let UpstreamRegion::Rows(offset) = problem.upstream {
            all.insert(Role::Slot(Slot::Dloss), vector(4, offset, &self.upstream));
        }
        all
    }

    /// What a row comes to, and its gradient.
    fn row(&self, row: u64, logits: &[i64]) -> (i64, Vec<i64>) {
        let target = self.targets[row as usize];
        if target == IGNORED {
            return (0, vec![0; logits.len()]);
        }
        let sum = logits.iter().zip(0..).map(|(x, class)| term(class, *x)).sum();
        let upstream = self.upstream[row as usize];
        let column = |(x, class): (&i64, i64)| gradient(*x, sum, target == class, upstream);
        let dlogits = logits.iter().zip(0..).map(column).collect();
        (loss(sum, logits[target as usize]), dlogits)
    }
}

/// Losses of rows, their sum, and how many rows there are to it.
fn check_losses(
    machine: &Machine,
    problem: &Problem,
    labels: &Labels,
    losses: &[i64],
) -> Result<(), TestCaseError> {
    prop_assert_eq!(&machine.memory[&Role::Slot(Slot::Stats)].data[..losses.len()], losses);
    if problem.reduction != Reduction::None {
        prop_assert_eq!(machine.reduced, losses.iter().sum::<i64>());
    }
    let kept = labels.targets.iter().filter(|target| **target != IGNORED).count();
    prop_assert_eq!(machine.kept_rows, kept as i64);
    Ok(())
}

/// The plan, unless the device lacks bindings, or room for a row.
fn made(plan: Result<Plan, Error>) -> Result<Option<Plan>, TestCaseError> {
    match plan {
        Ok(plan) => Ok(Some(plan)),
        Err(Error::TooLarge { needed, limit, .. }) => {
            prop_assert!(needed > limit);
            Ok(None)
        }
        Err(Error::DeviceTooSmall { .. } | Error::InvalidInput { what: "scratch_bytes", .. }) => {
            Ok(None)
        }
        Err(other) => Err(TestCaseError::fail(other.to_string())),
    }
}

/// Sizes at which kernels change, and what a dispatch may take.
fn tuning(caps: &Caps, [sizes, budget]: [u32; 2]) -> Tuning {
    let mut tuning = Tuning::new(caps);
    if sizes > 0 {
        (tuning.lane_max_classes, tuning.split_min_classes) = (sizes % 16, sizes);
        (tuning.split_max_rows, tuning.split_workgroups) = (sizes % 60, 1 + sizes % 19);
    }
    if budget > 0 {
        tuning.budget = Duration::from_micros(u64::from(budget));
    }
    tuning
}

fn tunings() -> impl Strategy<Value = [u32; 2]> {
    [prop_oneof![Just(0u32), 1u32..300], prop_oneof![Just(0u32), 1u32..30]]
}

fn reductions() -> impl Strategy<Value = (Reduction, UpstreamRegion)> {
    prop_oneof![
        Just((Reduction::None, UpstreamRegion::Scalar(2.0))),
        (0u64..50).prop_map(|at| (Reduction::None, UpstreamRegion::Rows(4 * at))),
        Just((Reduction::Sum, UpstreamRegion::Scalar(2.0))),
        Just((Reduction::Mean, UpstreamRegion::Scalar(2.0))),
    ]
}

fn dtypes() -> impl Strategy<Value = Dtype> {
    prop::sample::select(vec![Dtype::F32, Dtype::F16, Dtype::Bf16])
}

/// Rows of so many elements, and a few more, somewhere in a buffer.
fn region(dtype: Dtype, columns: u64, [offset, gap]: [u64; 2]) -> Region {
    Region { offset: offset * dtype.size() as u64, row_stride: columns + gap, dtype }
}

/// Offsets and gaps, often such that rows start at whole words.
fn place() -> impl Strategy<Value = [u64; 2]> {
    prop_oneof![
        Just([0, 0]),
        [0u64..9, 0u64..3].prop_map(|n| n.map(|n| 4 * n)),
        [0u64..50, 0u64..9]
    ]
}

fn cross_entropy() -> impl Strategy<Value = Problem> {
    let shapes = prop_oneof![
        (1u64..20_000, 1u64..5),
        (1u64..300, 1u64..300),
        (1u64..300, (1u64..75).prop_map(|words| 4 * words)),
        (1u64..4, 1u64..70_000),
    ];
    let output = prop::sample::select(vec![None, Some(false), Some(true)]);
    let targets = (0u64..20, any::<bool>());
    (shapes, dtypes(), [place(), place()], output, targets, reductions()).prop_map(
        |((rows, classes), dtype, places, output, (offset, wide), (reduction, upstream))| {
            let [input, separate] = places.map(|place| region(dtype, classes, place));
            let output = match output {
                None => Destination::None,
                Some(false) => Destination::InPlace,
                Some(true) => Destination::Separate(separate),
            };
            let width = if wide { TargetType::I64 } else { TargetType::I32 };
            let offset = offset * width.bytes();
            Problem {
                passes: vec![main_pass(RowOp::CrossEntropy, output)],
                input,
                targets: Some(TargetRegion { offset, width, ignore_index: Some(IGNORED) }),
                upstream,
                reduction,
                ..loss_and_gradient(rows, classes)
            }
        },
    )
}

fn check_cross_entropy(
    problem: &Problem,
    caps: &Caps,
    sizes: [u32; 2],
) -> Result<(), TestCaseError> {
    let (rows, classes) = (problem.rows, problem.classes);
    let labels = Labels::new(problem, 1);
    let input = filled(problem.input, rows, classes, 1);
    let mut want = input.clone();
    let output = problem.passes[0].output;
    let (mut role, mut region) = (Role::Slot(Slot::Input), problem.input);
    let mut caller = labels.buffers(problem);
    caller.insert(role, input.clone());
    if let Destination::Separate(separate) = output {
        (role, region) = (Role::Slot(Slot::Output), separate);
        want = buffer(separate, rows, classes);
        caller.insert(role, want.clone());
    }
    let mut losses = Vec::new();
    for row in 0..rows {
        let (loss, dlogits) = labels.row(row, &row_of(&input, problem.input, row, classes));
        losses.push(loss);
        if output != Destination::None {
            let start = at(region, row, 0);
            want.data[start..start + dlogits.len()].copy_from_slice(&dlogits);
        }
    }
    let plan = Plan::new(problem, caps, &tuning(caps, sizes));
    let Some(plan) = made(plan)? else { return Ok(()) };
    let mut machine = Machine::new(caller, &plan);
    plan.steps.iter().for_each(|step| machine.run(step));
    prop_assert!(machine.memory[&role] == want, "the gradient, and nothing beside it");
    check_losses(&machine, problem, &labels, &losses)
}

/// A layer and the problem over its logits.
fn layer() -> impl Strategy<Value = (Layer, Problem)> {
    let shapes = prop_oneof![
        (1u64..70, 1u64..9, 1u64..500),
        (1u64..70, 1u64..9, 1u64..500),
        (1u64..600, 1u64..9, 1u64..70),
        // As deep as more than one dispatch goes.
        (16_000u64..33_000, Just(1), 1u64..3),
        (1u64..3, 1u64..3, 16_000u64..33_000),
        (1u64..3, 16_000u64..33_000, 1u64..3),
    ];
    let places = [place(), place(), place(), place(), place(), place()];
    let gradients = any::<[bool; 4]>();
    (shapes, dtypes(), places, gradients, 4u32..20, reductions()).prop_map(
        |((rows, width, classes), dtype, places, gradients, scratch, (reduction, upstream))| {
            let matrix = |place, dtype| region(dtype, width, place);
            let vector = |place| Region { row_stride: 0, ..region(Dtype::F32, 0, place) };
            let [hidden, weight, bias, has_bias] = gradients;
            let layer = Layer {
                width,
                hidden: matrix(places[0], dtype),
                weight: matrix(places[1], dtype),
                bias: has_bias.then_some(vector(places[2])),
                dhidden: hidden.then_some(matrix(places[3], Dtype::F32)),
                dweight: weight.then_some(matrix(places[4], Dtype::F32)),
                dbias: (bias && has_bias).then_some(vector(places[5])),
                scratch_bytes: 1 << scratch,
                ignored: Ignored::Multiplied,
            };
            let has_gradient = hidden || weight || bias && has_bias;
            let output = if has_gradient { Destination::InPlace } else { Destination::None };
            let targets = TargetRegion {
                offset: 8 * (places[5][0] % 5),
                width: if rows % 2 == 0 { TargetType::I64 } else { TargetType::I32 },
                ignore_index: Some(IGNORED),
            };
            let problem = Problem {
                passes: vec![main_pass(RowOp::CrossEntropy, output)],
                targets: Some(targets),
                upstream,
                reduction,
                ..loss_and_gradient(rows, classes)
            };
            (layer, problem)
        },
    )
}

/// The buffers of a layer's caller, before and after.
struct Definition {
    before: HashMap<Role, Buffer>,
    after: HashMap<Role, Buffer>,
    losses: Vec<i64>,
}

impl Definition {
    fn new(layer: &Layer, problem: &Problem, labels: &Labels) -> Self {
        let (rows, width, classes) = (problem.rows, layer.width, problem.classes);
        let mut before = HashMap::new();
        before.insert(Role::Hidden, filled(layer.hidden, rows, width, 2));
        before.insert(Role::Weight, filled(layer.weight, classes, width, 3));
        if let Some(bias) = layer.bias {
            before.insert(Role::Bias, filled(bias, 1, classes, 4));
        }
        let gradients = [
            (Role::Dhidden, layer.dhidden, rows, width),
            (Role::Dweight, layer.dweight, classes, width),
            (Role::Dbias, layer.dbias, 1, classes),
        ];
        let mut after = before.clone();
        for (role, region, rows, columns) in gradients {
            let Some(region) = region else { continue };
            let mut zero = buffer(region, rows, columns);
            before.insert(role, zero.clone());
            for (row, column) in places(rows, columns) {
                zero.data[at(region, row, column)] = 0;
            }
            after.insert(role, zero);
        }
        let mut definition = Self { before, after, losses: Vec::new() };
        for row in 0..rows {
            definition.row(layer, labels, row, classes);
        }
        definition
    }

    fn row(&mut self, layer: &Layer, labels: &Labels, row: u64, classes: u64) {
        let hidden = row_of(&self.before[&Role::Hidden], layer.hidden, row, layer.width);
        let weights = |class| row_of(&self.before[&Role::Weight], layer.weight, class, layer.width);
        let dot = |class| hidden.iter().zip(weights(class)).map(|(h, w)| h * w).sum::<i64>();
        let bias = |class| layer.bias.map_or(0, |b| self.before[&Role::Bias].data[at(b, 0, class)]);
        let logits: Vec<i64> = (0..classes).map(|class| dot(class) + bias(class)).collect();
        let (loss, dlogits) = labels.row(row, &logits);
        self.losses.push(loss);
        for (class, dlogit) in (0..).zip(dlogits) {
            let weights = row_of(&self.before[&Role::Weight], layer.weight, class, layer.width);
            for (column, (h, w)) in (0..).zip(hidden.iter().zip(weights)) {
                self.add(Role::Dhidden, layer.dhidden, [row, column], dlogit * w);
                self.add(Role::Dweight, layer.dweight, [class, column], dlogit * h);
            }
            self.add(Role::Dbias, layer.dbias, [0, class], dlogit);
        }
    }

    fn add(&mut self, role: Role, region: Option<Region>, [row, column]: [u64; 2], x: i64) {
        if let (Some(region), Some(buffer)) = (region, self.after.get_mut(&role)) {
            buffer.data[at(region, row, column)] += x;
        }
    }
}

/// The elements before the block that a step is for. Of a sweep its first class tells which; then a
/// block's gradients come after its logits, chunk by chunk.
fn skipped(layer: &Layer, step: &Step, block: u64, made_classes: u64) -> HashMap<Role, u64> {
    let is_product = |form| matches!(step.kernel, Kernel::Product(kernel) if kernel.form == form);
    let class = match step.kernel {
        Kernel::TileSweep(_) => step.params.first_column.into(),
        _ if is_product(Form::RightTransposed) => made_classes,
        _ => made_classes.saturating_sub(1),
    };
    let classes = class / block * block;
    let of =
        |role, region: Option<Region>| (role, classes * region.map_or(0, |r| r.row_stride.max(1)));
    HashMap::from([
        of(Role::Weight, Some(layer.weight)),
        of(Role::Dweight, layer.dweight),
        of(Role::Bias, layer.bias),
        of(Role::Dbias, layer.dbias),
    ])
}

fn check_layer(
    (layer, problem): &(Layer, Problem),
    caps: &Caps,
    sizes: [u32; 2],
    (block, ignored): (Option<u64>, u64),
) -> Result<(), TestCaseError> {
    let labels = Labels::new(problem, ignored);
    let tuning = tuning(caps, sizes);
    let plan = match block {
        None => layer.plan(problem, caps, &tuning),
        Some(block) => layer.plan_in_blocks(problem, caps, &tuning, block),
    };
    let Some(plan) = made(plan)? else { return Ok(()) };
    let definition = Definition::new(layer, problem, &labels);
    let caller = definition.before.into_iter().chain(labels.buffers(problem)).collect();
    let mut machine = Machine::new(caller, &plan);
    let mut made_logits = 0;
    for index in 0..plan.steps.len() {
        let step = machine.step(&plan, index);
        if let Some(block) = block {
            machine.skipped = skipped(layer, &step, block, made_logits / problem.rows);
        }
        machine.run(&step);
        if matches!(step.kernel, Kernel::Product(kernel) if kernel.form == Form::RightTransposed) {
            made_logits += u64::from(step.params.rows) * u64::from(step.params.columns);
        }
    }
    for (role, want) in &definition.after {
        prop_assert!(machine.memory[role] == *want, "{role:?}");
    }
    check_losses(&machine, problem, &labels, &definition.losses)
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn cross_entropy_is_carried_out(problem in cross_entropy(), caps in caps(), sizes in tunings()) {
        check_cross_entropy(&problem, &caps, sizes)?;
    }

    #[test]
    fn layers_are_carried_out(layer in layer(), caps in caps(), sizes in tunings()) {
        check_layer(&layer, &caps, sizes, (None, 1))?;
    }

    #[test]
    fn layers_without_ignored_rows_are_carried_out(
        (layer, problem) in layer(), caps in caps(), sizes in tunings(), ignored in 0u64..=7,
    ) {
        let layer = Layer { ignored: Ignored::LeftOut, ..layer };
        check_layer(&(layer, problem), &caps, sizes, (None, ignored))?;
    }

    #[test]
    fn layers_in_blocks_are_carried_out(
        layer in layer(), caps in caps(), sizes in tunings(), block in 1u64..400,
    ) {
        check_layer(&layer, &caps, sizes, (Some(block), 1))?;
    }
}
