//! Bytes of matrices that each kernel moves: how often its shader visits each matrix, read off the
//! WGSL's own calls, times what the plan binds, against what cannot be done without. No GPU needed.

use std::collections::HashSet;

use surprisal::gpu::plan::{
    Destination, LossNumbers, Pass, Plan, Problem, Region, Role, Step, TargetRegion, UpstreamRegion,
};
use surprisal::gpu::{
    Caps, ElementOp, Family, Kernel, RowOp, Sharing, Slot, Sources, TargetType, Tuning, compose,
};
use surprisal::{Dtype, Reduction};

/// The names of all functions that a function calls, itself or through others.
fn called(module: &naga::Module, name: &str) -> HashSet<String> {
    let mut reached = HashSet::new();
    let named = |name: &str| {
        let functions = module.functions.iter().map(|(_, function)| function);
        let entries = module.entry_points.iter().map(|entry| &entry.function);
        functions.chain(entries).find(|f| f.name.as_deref() == Some(name)).cloned()
    };
    let mut next = vec![name.to_owned()];
    while let Some(name) = next.pop() {
        let Some(function) = named(&name) else { continue };
        let mut callees = Vec::new();
        calls(&function.body, &mut callees);
        for callee in callees {
            let callee = module.functions[callee].name.clone().unwrap_or_default();
            if reached.insert(callee.clone()) {
                next.push(callee);
            }
        }
    }
    reached
}

fn calls(block: &naga::Block, found: &mut Vec<naga::Handle<naga::Function>>) {
    use naga::Statement::{Block, Call, If, Loop, Switch};
    for statement in block {
        match statement {
            Call { function, .. } => found.push(*function),
            Block(inner) => calls(inner, found),
            If { accept, reject, .. } => {
                calls(accept, found);
                calls(reject, found);
            }
            Switch { cases, .. } => cases.iter().for_each(|case| calls(&case.body, found)),
            Loop { body, continuing, .. } => {
                calls(body, found);
                calls(continuing, found);
            }
            _ => {}
        }
    }
}

/// Whether a sweep does anything with the word of the input that it is given. If not, no compiler
/// leaves the read in.
fn uses_input(module: &naga::Module) -> bool {
    let info = naga::valid::Validator::new(
        naga::valid::ValidationFlags::all(),
        naga::valid::Capabilities::all(),
    )
    .validate(module)
    .expect("it is valid");
    let mut functions = module.functions.iter();
    let (handle, sweep) =
        functions.find(|(_, f)| f.name.as_deref() == Some("sweep")).expect("it is called");
    let x = sweep.expressions.iter().find(|(_, e)| **e == naga::Expression::FunctionArgument(3));
    x.is_some_and(|(x, _)| info[handle][x].ref_count > 0)
}

/// Visits of a kernel to the matrices, by slot: (reads, writes) of every word of a row.
fn visits(kernel: Kernel) -> Vec<(Slot, u64, u64)> {
    let composed = compose(&kernel, &Sources::default());
    let module = naga::front::wgsl::parse_str(&composed.source).expect("it parses");
    let all = called(&module, "main");
    // What is done with each word, once in each loop over words that the kernel goes through.
    let per_word = ["sweep_words", "write_columns"].map(|function| {
        if all.contains(function) { called(&module, function) } else { HashSet::new() }
    });
    let count =
        |function: &str| per_word.iter().filter(|called| called.contains(function)).count() as u64;
    let unused = u64::from(all.contains("sweep") && !uses_input(&module));
    let stores = all.contains("store_output");
    let output = if kernel.bindings().iter().any(|(slot, _)| *slot == Slot::Output) {
        Slot::Output
    } else {
        Slot::Input
    };
    vec![
        (Slot::Input, count("load_input") - unused, 0),
        (Slot::Second, count("load_second"), 0),
        (Slot::Factors, count("element_factor"), 0),
        (output, 0, stores.into()),
    ]
}

/// Bytes of matrices that a plan's steps read and write.
fn traffic(problem: &Problem, plan: &Plan) -> (u64, u64) {
    let (mut read, mut written) = (0, 0);
    for step in &plan.steps {
        let Kernel::Rows(_) = step.kernel else { continue };
        for (slot, reads, writes) in visits(step.kernel) {
            if !step.bindings.iter().any(|bound| bound.slot == slot) {
                continue;
            }
            let elements = u64::from(step.params.rows) * problem.classes;
            let bytes = elements * width(problem, step, slot);
            read += reads * bytes;
            written += writes * bytes;
        }
    }
    (read, written)
}

/// Bytes an element of what a step binds to a slot.
fn width(problem: &Problem, step: &Step, slot: Slot) -> u64 {
    let is_losses =
        matches!(step.kernel, Kernel::Rows(k) if matches!(k.op, RowOp::ElementLosses(_)));
    let dtype = if is_losses && slot == Slot::Output { Dtype::F32 } else { problem.input.dtype };
    dtype.size() as u64
}

/// Bytes besides: of rows' results and edges, targets, and what a split leaves in between.
fn besides(plan: &Plan) -> u64 {
    let of_rows = |slot| {
        matches!(slot, Slot::Stats | Slot::Edges | Slot::Targets | Slot::Pairs | Slot::Scratch)
    };
    let bound = plan.steps.iter().flat_map(|step| &step.bindings);
    bound.filter(|bound| of_rows(bound.slot)).map(|bound| bound.size).sum()
}

fn caps() -> Caps {
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

fn problem(op: RowOp, (rows, classes): (u64, u64), dtype: Dtype, output: Output) -> Problem {
    let region = Region { offset: 0, row_stride: classes, dtype };
    let output = match output {
        Output::None => Destination::None,
        Output::InPlace => Destination::InPlace,
        Output::Separate => Destination::Separate(region),
    };
    let main = Pass { op, output, role: Role::Slot(Slot::Output) };
    let mut passes = vec![main];
    if op == RowOp::Js {
        let output = Destination::None;
        passes.insert(0, Pass { op: RowOp::PairStats, output, role: Role::Aside });
    }
    let width = TargetType::I32;
    let has_targets = matches!(op, RowOp::CrossEntropy | RowOp::Focal);
    let has_second = matches!(
        op,
        RowOp::LabelCrossEntropy
            | RowOp::SoftmaxBackward
            | RowOp::LogSoftmaxBackward
            | RowOp::Kl
            | RowOp::Js
            | RowOp::Elements(_)
    );
    Problem {
        passes,
        rows,
        classes,
        input: region,
        second: has_second.then_some(region),
        factors: None,
        targets: has_targets.then_some(TargetRegion { offset: 0, width, ignore_index: None }),
        row_mask: None,
        element_mask: None,
        upstream: UpstreamRegion::Scalar(1.0),
        sharing: Sharing::Apart,
        reduction: Reduction::None,
        loss: LossNumbers::default(),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    None,
    InPlace,
    Separate,
}

/// An operation with its output, and how often it has to visit what it reads: once for the row's sums
/// and, where it writes columns, once more for those, because they need the sums. What is read again
/// comes from a cache where the rows in flight fit it; where lanes hold the row, the input is not read
/// again. A matrix is written once.
const IDEAL: [(RowOp, Output, u64); 16] = [
    (RowOp::CrossEntropy, Output::None, 1),
    (RowOp::CrossEntropy, Output::InPlace, 2),
    (RowOp::CrossEntropy, Output::Separate, 2),
    (RowOp::LabelCrossEntropy, Output::None, 2),
    (RowOp::LabelCrossEntropy, Output::InPlace, 4),
    (RowOp::Focal, Output::InPlace, 2),
    (RowOp::Softmax, Output::Separate, 2),
    (RowOp::LogSoftmax, Output::InPlace, 2),
    (RowOp::LogSumExp, Output::None, 1),
    (RowOp::Entropy, Output::None, 1),
    (RowOp::SoftmaxBackward, Output::InPlace, 4),
    // Its sum is of the gradient from above alone.
    (RowOp::LogSoftmaxBackward, Output::InPlace, 3),
    (RowOp::Kl, Output::None, 2),
    (RowOp::Kl, Output::InPlace, 4),
    // Both rows' sums before its own: one visit to both more.
    (RowOp::Js, Output::InPlace, 6),
    // Columns need no sums: one visit to an element and its label.
    (RowOp::Elements(ElementOp::BinaryLogits), Output::InPlace, 2),
];

#[test]
fn every_kernel_moves_what_it_must() {
    let caps = caps();
    // A lane a row, a workgroup a row, rows in pieces; whole words, and rows that share u32s.
    let shapes =
        [(100_000, 8), (100_000, 9), (4096, 1000), (4096, 1001), (2, 128_256), (2, 50_257)];
    for (op, output, reads) in IDEAL {
        for shape @ (rows, classes) in shapes {
            for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
                let problem = problem(op, shape, dtype, output);
                let plan = Plan::new(&problem, &caps, &Tuning::new(&caps)).expect("it fits");
                let matrix = rows * classes * dtype.size() as u64;
                let what = format!("{op:?} {output:?} {shape:?} {dtype}");
                // Elements of rows that share u32s are written by a loop of their own.
                let by_column = matches!(op, RowOp::Elements(_))
                    && dtype != Dtype::F32
                    && !classes.is_multiple_of(4);
                let reads = if by_column { 2 * reads } else { reads };
                let held = |step: &Step| matches!(step.kernel, Kernel::Rows(k) if k.family == Family::Held);
                let is_held = plan.steps.iter().any(held);
                let is_medium = classes == 1000 || classes == 1001 && dtype == Dtype::F32;
                let must_hold =
                    is_medium && output != Output::None && !matches!(op, RowOp::Elements(_));
                assert_eq!(is_held, must_hold, "{what}");
                let reads = reads - u64::from(is_held);
                let writes = u64::from(output != Output::None);
                assert_eq!(traffic(&problem, &plan), (reads * matrix, writes * matrix), "{what}");
                let per_row = besides(&plan) / rows;
                let split = if rows == 2 { 600_000 } else { 0 };
                assert!(per_row <= 80 + split, "{what}: {per_row} bytes a row besides");
            }
        }
    }
}

#[test]
fn losses_of_elements_are_f32_whatever_they_are_of() {
    let caps = caps();
    for dtype in [Dtype::F32, Dtype::F16] {
        for classes in [1000, 1001] {
            let op = RowOp::Elements(ElementOp::BinaryLogits);
            let mut problem = problem(op, (100, classes), dtype, Output::Separate);
            let region = Region { offset: 0, row_stride: classes, dtype: Dtype::F32 };
            problem.passes[0].op = RowOp::ElementLosses(ElementOp::BinaryLogits);
            problem.passes[0].output = Destination::Separate(region);
            let plan = Plan::new(&problem, &caps, &Tuning::new(&caps)).expect("it fits");
            let elements = 100 * classes;
            let read = 2 * elements * dtype.size() as u64;
            assert_eq!(traffic(&problem, &plan), (read, 4 * elements), "{dtype} {classes}");
        }
    }
}
