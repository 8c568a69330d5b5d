//! How long windows are, how many pieces rows have, how large workgroups and buffers are: worked out by
//! hand for single problems.

use surprisal::gpu::plan::{
    Destination, LossNumbers, Pass, Plan, Problem, ROW_BLOCK, Region, Role, Step, UpstreamRegion,
};
use surprisal::gpu::{
    Caps, Family, Kernel, Reduce, RowOp, Slot, TargetType, Tuning, UpstreamFrom, Weighting, Word,
};
use surprisal::{Dtype, Error, InputForm, Reduction};

use crate::problems::main_pass;
use crate::{bound, h200, loss_and_gradient, row_kernel, tight};

/// A plan on a large GPU whose dispatches may take any time.
fn untimed(problem: &Problem, caps: &Caps) -> Plan {
    let mut tuning = Tuning::new(caps);
    tuning.budget = std::time::Duration::MAX;
    tuning.max_row_workgroup = 256.min(tuning.max_row_workgroup);
    Plan::new(problem, caps, &tuning).expect("it fits")
}

fn rows_of(plan: &Plan, is_counted: impl Fn(&Kernel) -> bool) -> Vec<u32> {
    plan.steps.iter().filter(|step| is_counted(&step.kernel)).map(|step| step.params.rows).collect()
}

fn is_row(kernel: &Kernel) -> bool {
    matches!(kernel, Kernel::Rows(_))
}

fn only(plan: &Plan, is_it: impl Fn(&Kernel) -> bool) -> &Step {
    let mut found = plan.steps.iter().filter(|step| is_it(&step.kernel));
    let step = found.next().expect("there is one");
    assert!(found.next().is_none(), "there is but one");
    step
}

fn plain(rows: u64, classes: u64) -> Problem {
    Problem {
        passes: vec![main_pass(RowOp::Softmax, Destination::InPlace)],
        targets: None,
        reduction: Reduction::None,
        ..loss_and_gradient(rows, classes)
    }
}

#[test]
fn a_window_is_as_long_as_a_binding_allows() {
    // 4000 bytes a row, and 32 that aligning the window's start may cost: 262 rows are 1,048,000 bytes.
    let caps = Caps { max_binding_bytes: 1 << 20, ..h200() };
    assert_eq!(rows_of(&untimed(&plain(600, 1000), &caps), is_row), [262, 262, 76]);
    // A gap behind the last row is not bound.
    let gaps = Region { row_stride: 1500, ..tight(1000) };
    let problem = Problem { input: gaps, ..plain(200, 1000) };
    assert_eq!(rows_of(&untimed(&problem, &caps), is_row), [175, 25], "174 x 6000 + 4000");
    let problem = Problem { upstream: UpstreamRegion::Elements(gaps), ..plain(200, 1000) };
    assert_eq!(rows_of(&untimed(&problem, &caps), is_row), [175, 25], "the upstream's gaps");
    // What a row leaves is up to 16 bytes.
    assert_eq!(rows_of(&untimed(&plain(100_000, 1), &caps), is_row), [65_534, 34_466]);
    // A workgroup a row, and one place more for what is behind the last row.
    let caps = Caps { max_workgroups: 10, ..h200() };
    assert_eq!(rows_of(&untimed(&plain(150, 1000), &caps), is_row), [99, 51]);
}

#[test]
fn a_row_may_fill_a_binding() {
    let on = |bytes| {
        let caps = Caps { max_binding_bytes: bytes, ..h200() };
        Plan::new(&plain(3, 1000), &caps, &Tuning::new(&caps))
    };
    // 32 bytes are kept for aligning a window's start.
    assert!(on(4032).is_ok());
    assert_eq!(on(4028), Err(Error::TooLarge { what: "a row", needed: 4000, limit: 3996 }));
}

#[test]
fn a_window_is_as_long_as_its_time_allows() {
    let mut tuning = Tuning::new(&h200());
    tuning.budget = std::time::Duration::from_secs(1);
    tuning.elements_per_second = 100_000;
    let rows = |problem: &Problem| {
        let plan = Plan::new(problem, &h200(), &tuning).expect("it fits");
        rows_of(&plan, is_row)
    };
    // Read and written: 2000 elements a row.
    assert_eq!(rows(&plain(120, 1000)), [50, 50, 20]);
    let passes = vec![main_pass(RowOp::LogSumExp, Destination::None)];
    assert_eq!(rows(&Problem { passes, ..plain(120, 1000) }), [100, 20], "read alone");
    let second = Problem { second: Some(tight(1000)), ..plain(120, 1000) };
    let passes = vec![main_pass(RowOp::SoftmaxBackward, Destination::InPlace)];
    assert_eq!(rows(&Problem { passes, ..second }), [33, 33, 33, 21], "two are read");
    // A row is no faster than one of 32.
    assert_eq!(rows(&plain(2000, 2)), [1562, 438]);
    assert_eq!(rows(&plain(65, 90_000)), [1; 65], "one at least");
}

#[test]
fn few_long_rows_are_split() {
    let splits = |rows, classes| {
        let plan = untimed(&plain(rows, classes), &h200());
        let step = &plan.steps[0];
        (step.params.splits, row_kernel(step).expect("of rows").family)
    };
    // Of 512 workgroups, but with four elements for each of a piece's 256 lanes.
    assert_eq!(splits(1, 128_256), (126, Family::SplitSweep));
    assert_eq!(splits(8, 1 << 20), (64, Family::SplitSweep));
    assert_eq!(splits(64, 32_768), (8, Family::SplitSweep), "as many rows as are split");
    assert_eq!(splits(65, 32_768), (0, Family::Row));
    assert_eq!(splits(64, 32_767), (0, Family::Row), "and as few classes");
}

#[test]
fn windows_of_split_rows_fit_the_grid() {
    // 64 pieces a row, in 99 places.
    let caps = Caps { max_workgroups: 10, ..h200() };
    let plan = untimed(&plain(8, 1 << 20), &caps);
    let is_sweep =
        |kernel: &Kernel| matches!(kernel, Kernel::Rows(row) if row.family == Family::SplitSweep);
    assert_eq!(rows_of(&plan, is_sweep), [1; 8]);
}

#[test]
fn no_long_rows_are_no_work() {
    assert_eq!(untimed(&plain(0, 100_000), &h200()).steps, []);
}

/// What is in scratch of a row: two words for its columns, and each piece's part of its sums.
#[test]
fn split_rows_bind_the_scratch_that_they_need() {
    let loss = LossNumbers { metrics: true, ..LossNumbers::default() };
    let plan = untimed(&Problem { loss, ..loss_and_gradient(3, 1 << 16) }, &h200());
    let of_rows: Vec<_> = plan.steps.iter().filter(|step| is_row(&step.kernel)).collect();
    let words = of_rows[0].kernel.piece_words();
    assert!(words > 1, "the best column has a word of its own");
    for step in of_rows {
        let scratch = bound(step, Slot::Scratch).expect("split rows meet there");
        assert_eq!((scratch.offset, scratch.size), (0, 3 * (2 + 64 * words) * 16));
    }
}

#[test]
fn scratch_may_fill_a_binding() {
    let on = |bytes| {
        let caps = Caps { max_binding_bytes: bytes, ..h200() };
        let mut tuning = Tuning::new(&caps);
        (tuning.split_min_classes, tuning.split_max_rows) = (1, 1000);
        Plan::new(&plain(100, 1), &caps, &tuning)
    };
    let plan = on(1 << 20).expect("it fits");
    let needed = bound(&plan.steps[0], Slot::Scratch).expect("rows are split").size;
    assert!(on(needed).is_ok());
    let (what, limit) = ("a block of rows", needed - 4);
    assert_eq!(on(limit), Err(Error::TooLarge { what, needed, limit }));
}

#[test]
fn a_workgroup_that_is_a_subgroup_needs_no_barrier() {
    let reduce = |classes, tuned| {
        let mut tuning = Tuning::new(&h200());
        tuning.reduce = tuned;
        let plan = Plan::new(&plain(1000, classes), &h200(), &tuning).expect("it fits");
        row_kernel(&plan.steps[0]).expect("of rows").reduce
    };
    assert_eq!(reduce(200, Reduce::Subgroup), Reduce::OneSubgroup, "32 lanes");
    assert_eq!(reduce(1000, Reduce::Subgroup), Reduce::Subgroup, "64 lanes");
    assert_eq!(reduce(200, Reduce::Tree), Reduce::Tree);
}

/// 28,000 words a lane at most: a device of one lane has to cut longer rows, however many they are.
#[test]
fn rows_longer_than_a_workgroup_can_go_are_split() {
    let caps = Caps { max_workgroup_size: 1, subgroups: None, storage_alignment: 8, ..h200() };
    let splits = |classes| {
        let plan = untimed(&plain(1000, classes), &caps);
        plan.steps[0].params.splits
    };
    assert_eq!([28_000, 28_001, 56_000, 56_001].map(splits), [0, 2, 2, 3]);
    // Split rows bind scratch besides; a device without the room for it cuts none that need not be.
    let backward = |rows| Problem {
        passes: vec![main_pass(RowOp::SoftmaxBackward, Destination::Separate(tight(40_000)))],
        second: Some(tight(40_000)),
        ..plain(rows, 40_000)
    };
    let caps = Caps { max_storage_bindings: 3, ..h200() };
    let plan = untimed(&backward(4), &caps);
    assert_eq!(plan.steps[0].params.splits, 0);
    let caps = Caps { max_storage_bindings: 4, ..h200() };
    assert!(untimed(&backward(4), &caps).steps[0].params.splits > 0);
}

#[test]
fn a_lane_of_a_workgroup_has_a_handful_of_words() {
    let size = |classes| untimed(&plain(1000, classes), &h200()).steps[0].workgroup_size;
    // Of four elements a word, and a quarter as many lanes, from 32 to 256.
    assert_eq!([200, 1000, 1024, 2048, 20_000].map(size), [32, 64, 64, 128, 256]);
    // One element a word.
    assert_eq!([201, 1001].map(size), [64, 256]);
    // A lane a row: 64 of them.
    assert_eq!(size(8), 64);
    let few = Caps { max_workgroup_size: 16, subgroups: None, ..h200() };
    assert_eq!(untimed(&plain(1000, 8), &few).steps[0].workgroup_size, 16);
}

#[test]
fn rows_of_whole_words_go_four_at_a_time() {
    let word = |input: Region, caps: &Caps| {
        let plan = untimed(&Problem { input, ..plain(10, 1000) }, caps);
        row_kernel(&plan.steps[0]).expect("of rows").word
    };
    let narrow = Region { dtype: Dtype::Bf16, ..tight(1000) };
    assert_eq!(word(tight(1000), &h200()), Word::F32x4);
    assert_eq!(word(narrow, &h200()), Word::Bf16x4);
    assert_eq!(word(Region { offset: 16, ..tight(1000) }, &h200()), Word::F32x4);
    assert_eq!(word(Region { offset: 8, ..narrow }, &h200()), Word::Bf16x4);
    assert_eq!(word(Region { offset: 8, ..tight(1000) }, &h200()), Word::F32);
    assert_eq!(word(Region { row_stride: 1002, ..tight(1000) }, &h200()), Word::F32);
    let caps = Caps { storage_alignment: 8, ..h200() };
    assert_eq!(word(tight(1000), &caps), Word::F32, "a window could start in the middle of one");
}

#[test]
fn buffers_have_room_for_all_rows() {
    let plan = untimed(&plain(10, 1000), &h200());
    let sizes =
        |plan: &Plan| [plan.stats_bytes, plan.pairs_bytes, plan.edges_bytes, plan.scratch_bytes];
    assert_eq!(sizes(&plan), [0; 4], "softmax leaves nothing of a row");
    assert!(!plan.has_summary);
    // Loss and log-sum-exp; two words of 16 bytes for a block of 4096 rows.
    let plan = untimed(&loss_and_gradient(10_000, 8), &h200());
    assert_eq!(sizes(&plan), [80_000, 0, 0, 3 * 32]);
    assert!(plan.has_summary);
    let metrics = LossNumbers { metrics: true, ..LossNumbers::default() };
    let plan = untimed(&Problem { loss: metrics, ..loss_and_gradient(10, 8) }, &h200());
    assert_eq!(sizes(&plan), [160, 0, 0, 32], "and what metrics are made of");
    // Split rows: two words for what their columns need, and one for the sum of each piece or more.
    let plan = untimed(&plain(3, 1 << 16), &h200());
    let (splits, words) = (plan.steps[0].params.splits, plan.steps[0].kernel.piece_words());
    assert_eq!(splits, 64);
    assert_eq!(sizes(&plan), [0, 0, 0, 3 * (2 + 64 * words) * 16]);
    // Two halves that a row shares with others.
    let input = Region { dtype: Dtype::F16, ..tight(333) };
    let plan = untimed(&Problem { input, ..plain(10, 333) }, &h200());
    assert_eq!(sizes(&plan), [0, 0, 80, 0]);
    let passes = vec![
        main_pass(RowOp::PairStats, Destination::None),
        main_pass(RowOp::Js, Destination::InPlace),
    ];
    let second = Some(tight(1000));
    let plan = untimed(&Problem { passes, second, ..plain(10, 1000) }, &h200());
    assert_eq!(sizes(&plan), [80, 160, 0, 0]);
}

#[test]
fn a_buffer_of_row_results_may_be_too_large() {
    let at_most = |bytes| {
        let caps = Caps { max_buffer_bytes: bytes, ..h200() };
        Plan::new(&loss_and_gradient(1000, 8), &caps, &Tuning::new(&caps))
    };
    assert!(at_most(8000).is_ok());
    let what = "the buffer of row results";
    assert_eq!(at_most(7999), Err(Error::TooLarge { what, needed: 8000, limit: 7999 }));
}

#[test]
fn rows_are_counted_in_32_bits() {
    let plan = |rows| Plan::new(&plain(rows, 1), &h200(), &Tuning::new(&h200()));
    assert!(plan(u64::from(u32::MAX) - 1).is_ok());
    let (needed, limit) = (u64::from(u32::MAX), u64::from(u32::MAX) - 1);
    assert_eq!(plan(needed), Err(Error::TooLarge { what: "the row count", needed, limit }));
}

#[test]
fn a_kernel_may_need_more_bindings_than_there_are() {
    let on = |bindings| {
        let caps = Caps { max_storage_bindings: bindings, ..h200() };
        Plan::new(&loss_and_gradient(10, 1000), &caps, &Tuning::new(&caps))
    };
    let plan = on(8).expect("it fits");
    let needed = plan.steps.iter().map(|step| step.kernel.storage_bindings()).max();
    let needed = needed.expect("there are steps");
    assert!(on(needed).is_ok());
    let Err(Error::DeviceTooSmall { reason, .. }) = on(needed - 1) else { panic!("it fits") };
    assert!(reason.contains(&format!("binds {needed}")), "{reason}");
}

#[test]
fn numbers_of_a_loss_arrive() {
    let loss = LossNumbers {
        label_smoothing: 0.25,
        weight_sum: 2.0,
        z_loss: 3.0,
        logit_scale: 4.0,
        softcap: 5.0,
        normalizer: 6.0,
        unit: 7.0,
        clamp: 8.0,
        gamma: 9.0,
        delta: 10.0,
        label: (11.0, 12.0),
        focal: (13.0, 14.0),
        mixture: [16.0, 17.0, 18.0, 19.0, 20.0],
        ..LossNumbers::default()
    };
    let upstream = UpstreamRegion::Scalar(15.0);
    let plan = untimed(&Problem { loss, upstream, ..loss_and_gradient(10, 8) }, &h200());
    let p = only(&plan, is_row).params;
    assert_eq!((p.smooth_target, p.smooth_class, p.weight_sum), (0.75, 1.0 / 32.0, 2.0));
    assert_eq!((p.z_loss, p.logit_scale, p.softcap, p.normalizer), (3.0, 4.0, 5.0, 6.0));
    assert_eq!((p.unit, p.clamp, p.gamma, p.delta), (7.0, 8.0, 9.0, 10.0));
    assert_eq!((p.label_scale, p.label_offset), (11.0, 12.0));
    assert_eq!((p.focal_one, p.focal_zero, p.upstream), (13.0, 14.0, 15.0));
    assert_eq!((p.mix_teacher, p.mix_student, p.mix_shift), (16.0, 17.0, 20.0));
    assert_eq!((p.mix_log_teacher, p.mix_log_student), (18.0, 19.0));
    assert!(p.nan.is_nan() && p.infinity == f32::INFINITY);
    assert_eq!((p.rows, p.classes, p.words), (10, 8, 2));
}

/// Of probabilities and their logarithms a row's loss is that of its target alone.
#[test]
fn normalized_rows_are_swept_if_something_asks_for_it() {
    let swept = |problem: &Problem| {
        let p = only(&untimed(problem, &h200()), is_row).params;
        (p.swept_words, p.words)
    };
    let with = |form, metrics| {
        let loss = LossNumbers { form, metrics, ..LossNumbers::default() };
        Problem { loss, ..loss_and_gradient(10, 1000) }
    };
    assert_eq!(swept(&with(InputForm::Logits, false)), (250, 250));
    assert_eq!(swept(&with(InputForm::LogProbs, false)), (0, 250));
    assert_eq!(swept(&with(InputForm::LogProbs, true)), (250, 250), "for the best column");
    let passes = vec![main_pass(RowOp::LabelCrossEntropy, Destination::InPlace)];
    let labels = Problem { passes, targets: None, ..with(InputForm::LogProbs, false) };
    let labels = Problem { second: Some(tight(1000)), ..labels };
    assert_eq!(swept(&labels), (250, 250), "labels weigh all of a row");
}

#[test]
fn sums_over_rows_are_those_that_are_asked_for() {
    let kernels = |problem: &Problem| -> Vec<Kernel> {
        let plan = untimed(problem, &h200());
        plan.steps.iter().map(|step| step.kernel).filter(|kernel| !is_row(kernel)).collect()
    };
    let scan = Kernel::ScanTargets(TargetType::I32, Weighting::None);
    let begin = [scan, Kernel::FinishTargets];
    let with = |reduction| Problem { reduction, ..loss_and_gradient(10, 1000) };
    assert_eq!(kernels(&with(Reduction::None)), begin);
    let sum = Kernel::SumLoss { metrics: false };
    assert_eq!(kernels(&with(Reduction::Sum)), [begin[0], begin[1], sum, Kernel::FinishSum]);
    assert_eq!(kernels(&with(Reduction::Mean)), [begin[0], begin[1], sum, Kernel::FinishMean]);
    let loss = LossNumbers { metrics: true, ..LossNumbers::default() };
    let metrics = Problem { loss, ..with(Reduction::None) };
    let after = [Kernel::SumMetrics, Kernel::FinishMetrics];
    assert_eq!(kernels(&metrics), [begin[0], begin[1], after[0], after[1]]);
    assert_eq!(kernels(&plain(10, 1000)), []);
    // Rows are weighed in a mean of cross-entropy; of focal loss they are counted.
    let loss = LossNumbers { weighting: Weighting::Weights, ..LossNumbers::default() };
    let weighted = Problem { loss, ..with(Reduction::None) };
    assert_eq!(kernels(&weighted)[0], Kernel::ScanTargets(TargetType::I32, Weighting::Weights));
    let passes = vec![main_pass(RowOp::Focal, Destination::InPlace)];
    assert_eq!(kernels(&Problem { passes, ..weighted })[0], scan);
}

#[test]
fn sums_over_rows_have_workgroups_of_the_device() {
    let sizes = |caps: &Caps| {
        let plan = untimed(&loss_and_gradient(10, 1000), caps);
        let size = |kernel| only(&plan, |it| *it == kernel).workgroup_size;
        [size(Kernel::SumLoss { metrics: false }), size(Kernel::FinishMean)]
    };
    assert_eq!(sizes(&h200()), [256, 64]);
    assert_eq!(sizes(&Caps { software: true, ..h200() }), [8, 64]);
    let few = Caps { max_workgroup_size: 4, subgroups: None, ..h200() };
    assert_eq!(sizes(&few), [4, 4]);
}

/// Sums over rows go by whole blocks, as many as time and bindings have room for, one at least.
#[test]
fn windows_of_blocks() {
    let windows = |caps: &Caps, elements_per_second| {
        let mut tuning = Tuning::new(caps);
        tuning.budget = std::time::Duration::from_secs(1);
        tuning.elements_per_second = elements_per_second;
        let plan = Plan::new(&loss_and_gradient(20_000, 1), caps, &tuning).expect("it fits");
        let scans = |step: &&Step| matches!(step.kernel, Kernel::ScanTargets(..));
        let first: Vec<_> =
            plan.steps.iter().filter(scans).map(|step| step.params.first_row).collect();
        let rows = rows_of(&plan, |kernel| matches!(kernel, Kernel::SumLoss { .. }));
        let before = rows.iter().scan(0, |sum, rows| Some(std::mem::replace(sum, *sum + rows)));
        assert_eq!(first, before.collect::<Vec<_>>(), "targets are scanned in the same windows");
        rows
    };
    let block = ROW_BLOCK as u32;
    assert_eq!(windows(&h200(), 1 << 30), [20_000]);
    // Four elements for what a row leaves.
    let two = [2 * block, 2 * block, 20_000 - 4 * block];
    assert_eq!(windows(&h200(), 2 * 4 * ROW_BLOCK), two);
    assert_eq!(windows(&h200(), 1), [block, block, block, block, 20_000 - 4 * block]);
    // 16 bytes a row, and 32 that aligning may cost.
    let caps = Caps { max_binding_bytes: 2 * 16 * ROW_BLOCK + 32, ..h200() };
    assert_eq!(windows(&caps, 1 << 30), two);
}

#[test]
fn rows_of_halves_join_where_they_share_a_u32() {
    let joins = |region: Region| {
        let passes = vec![main_pass(RowOp::Softmax, Destination::Separate(region))];
        let classes = region.row_stride.min(1000);
        let input = Region { dtype: region.dtype, ..tight(1000) };
        let plan = untimed(&Problem { passes, input, ..plain(10, classes) }, &h200());
        plan.steps.iter().any(|step| step.kernel == Kernel::JoinEdges)
    };
    let halves = Region { dtype: Dtype::F16, ..tight(1000) };
    assert!(!joins(halves) && !joins(Region { offset: 4, ..halves }));
    assert!(!joins(Region { row_stride: 1002, ..halves }));
    assert!(joins(Region { offset: 2, ..halves }), "the first begins in one");
    assert!(joins(Region { row_stride: 1001, ..halves }), "every other does");
    assert!(joins(Region { row_stride: 999, ..halves }), "they end in one");
    assert!(!joins(Region { offset: 4, dtype: Dtype::F32, ..tight(999) }));
}

#[test]
fn edges_have_a_place_behind_the_last_row() {
    let input = Region { dtype: Dtype::F16, ..tight(333) };
    let plan = untimed(&Problem { input, ..plain(128, 333) }, &h200());
    let step = only(&plan, |kernel| *kernel == Kernel::JoinEdges);
    assert_eq!((step.workgroup_size, step.grid), (64, [3, 1]), "129 places");
}

#[test]
fn a_first_pass_has_a_buffer_of_its_own() {
    let aside = Destination::Separate(Region { offset: 64, ..tight(1000) });
    let gradient = Pass { op: RowOp::TargetGradient, output: aside, role: Role::Aside };
    let main = main_pass(RowOp::LabelCrossEntropy, Destination::Separate(tight(1000)));
    let second = Some(tight(1000));
    let plan =
        untimed(&Problem { passes: vec![gradient, main], second, ..plain(10, 1000) }, &h200());
    let outputs = plan.steps.iter().filter_map(|step| bound(step, Slot::Output));
    let outputs: Vec<_> = outputs.map(|bound| (bound.role, bound.offset)).collect();
    assert_eq!(outputs, [(Role::Aside, 64), (Role::Slot(Slot::Output), 0)]);
}

#[test]
fn the_upstream_gradient_of_a_mean_waits_for_its_rows() {
    let from = |problem: &Problem| {
        let plan = untimed(problem, &h200());
        row_kernel(only(&plan, is_row)).expect("of rows").upstream
    };
    let with = |reduction| Problem { reduction, ..loss_and_gradient(10, 1000) };
    assert_eq!(from(&with(Reduction::Mean)), UpstreamFrom::Mean);
    assert_eq!(from(&with(Reduction::Sum)), UpstreamFrom::Scalar);
    // Without targets all rows are kept, which the host knows.
    let passes = vec![main_pass(RowOp::Kl, Destination::InPlace)];
    let pair =
        Problem { passes, targets: None, second: Some(tight(1000)), ..with(Reduction::Mean) };
    assert_eq!(from(&pair), UpstreamFrom::Scalar);
}
