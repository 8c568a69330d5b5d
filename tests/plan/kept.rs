//! How moves of rows that are not ignored, and what fits later dispatches to how many there are, are cut:
//! worked out by hand.

use std::time::Duration;

use surprisal::gpu::plan::{
    Bound, Destination, Ignored, Layer, LossNumbers, Plan, Problem, Region, Role, Step,
    TargetRegion,
};
use surprisal::gpu::{Caps, Form, Kernel, Params, RowOp, Slot, TargetType, Tuning};

use crate::problems::main_pass;
use crate::{bound, h200, loss_and_gradient, tight};

/// In a chunk of kept rows.
const ROOM: u64 = 50;

/// A thousand rows of four words, 42 apart, of which the ignored ones are left out.
fn layer() -> (Layer, Problem) {
    let layer = Layer {
        width: 4,
        hidden: Region { row_stride: 42, ..tight(4) },
        weight: tight(4),
        bias: None,
        dhidden: Some(tight(4)),
        dweight: None,
        dbias: None,
        // Of a row: it, its gradient and three logits.
        scratch_bytes: ROOM * (16 + 16 + 12),
        ignored: Ignored::LeftOut,
    };
    let targets = TargetRegion { offset: 0, width: TargetType::I32, ignore_index: Some(-100) };
    let passes = vec![main_pass(RowOp::CrossEntropy, Destination::InPlace)];
    (layer, Problem { passes, targets: Some(targets), ..loss_and_gradient(1000, 3) })
}

/// A binding has room for a hundred rows 168 bytes apart, and 32 bytes more for where a window starts.
fn small() -> Caps {
    Caps { max_binding_bytes: 99 * 168 + 16 + 32, ..h200() }
}

fn untimed() -> Tuning {
    let mut tuning = Tuning::new(&small());
    tuning.budget = Duration::MAX;
    tuning
}

fn planned(of: &(Layer, Problem), tuning: &Tuning) -> Plan {
    of.0.plan(&of.1, &small(), tuning).expect("it fits")
}

fn steps(plan: &Plan, is_one: impl Fn(&Step) -> bool) -> Vec<&Step> {
    plan.steps.iter().filter(|step| is_one(step)).collect()
}

/// Where rows of the layer's input are gathered from.
fn of_hidden(step: &Step) -> bool {
    step.kernel == Kernel::GatherRows
        && bound(step, Slot::Input).is_some_and(|bound| bound.role == Role::Hidden)
}

#[test]
fn rows_are_gathered_from_windows_that_a_binding_holds() {
    let plan = planned(&layer(), &untimed());
    let of_chunk = |first: u32| steps(&plan, |s| of_hidden(s) && s.params.first_row == first);
    let windows = |first| {
        let step = of_chunk(first).into_iter();
        step.map(|step| [step.params.window_row, step.params.window_rows]).collect::<Vec<_>>()
    };
    let all = (0..10).map(|window| [100 * window, 100]).collect::<Vec<_>>();
    assert_eq!(windows(0), all);
    assert_eq!(windows(50), all);
    // Of kept rows the one at 100 is row 100 of the batch at the earliest.
    assert_eq!(windows(100), all[1..]);
    assert_eq!(windows(950), all[9..]);
    for (index, step) in (0u64..).zip(of_chunk(0)) {
        let bound = bound(step, Slot::Input).expect("it reads");
        assert_eq!((bound.offset, bound.size), (index * 16_800, 99 * 168 + 16));
        assert_eq!((step.params.rows, step.params.words), (ROOM as u32, 4));
        // Each word is read and written; four workgroups of 64 have a lane for each.
        assert_eq!((step.cost, step.grid), (2 * ROOM * 4, [4, 1]));
    }
}

#[test]
fn rows_are_gathered_to_where_the_last_ones_ended() {
    let mut tuning = untimed();
    // Five rows of four words, read and written.
    tuning.budget = Duration::from_secs(1);
    tuning.elements_per_second = 40;
    let plan = planned(&layer(), &tuning);
    let places = steps(&plan, |step| of_hidden(step) && step.params.window_row == 900);
    for (step, start) in places.into_iter().zip((0..1000u32).step_by(5)) {
        assert_eq!((step.params.first_row, step.params.rows), (start, 5));
        let bound = bound(step, Slot::Output).expect("it writes");
        let at = u64::from(start) % ROOM * 16;
        assert_eq!((bound.role, bound.offset % 32), (Role::KeptHidden, 0));
        assert_eq!(bound.offset + 4 * u64::from(step.params.output_offset), at);
        assert_eq!(bound.size, at % 32 + 5 * 16);
    }
}

#[test]
fn zeros_are_written_in_windows_that_a_binding_holds() {
    let (mut layer, problem) = layer();
    layer.dhidden = Some(Region { row_stride: 42, ..tight(4) });
    let plan = planned(&(layer, problem), &untimed());
    let is_cleared =
        |step: &Step| bound(step, Slot::Output).is_some_and(|bound| bound.role == Role::Dhidden);
    let cleared =
        steps(&plan, |step| matches!(step.kernel, Kernel::ClearIgnored(_)) && is_cleared(step));
    assert_eq!(cleared.len(), 10);
    for (index, step) in (0u64..).zip(cleared) {
        let bound = bound(step, Slot::Output).expect("it writes");
        assert_eq!((bound.offset, bound.size), (index * 16_800, 99 * 168 + 16));
        assert_eq!((step.params.rows, step.cost), (100, 2 * 100 * 4));
    }
}

/// Metrics have a mark of their own in the last word of an ignored row.
#[test]
fn ignored_rows_have_no_best_class() {
    let last_word = |metrics| {
        let (layer, problem) = layer();
        let loss = LossNumbers { metrics, ..problem.loss };
        let plan = planned(&(layer, Problem { loss, ..problem }), &untimed());
        let is_stats = |step: &Step| {
            bound(step, Slot::Output).is_some_and(|b| b.role == Role::Slot(Slot::Stats))
        };
        let cleared =
            steps(&plan, |step| matches!(step.kernel, Kernel::ClearIgnored(_)) && is_stats(step));
        cleared.iter().map(|step| step.params.last_word).max()
    };
    assert_eq!(last_word(true), Some(0x7fff_ffff));
    assert_eq!(last_word(false), Some(0));
}

/// The numbers of one step or, of a sum over rows, two: an odd number of them in some parts.
#[test]
fn the_table_of_numbers_is_cut_as_the_steps_are() {
    let (mut layer, problem) = layer();
    layer.dweight = Some(tight(4));
    let wide = Caps { storage_alignment: 256, ..small() };
    for caps in [small(), wide] {
        let plan = layer.plan(&problem, &caps, &untimed()).expect("it fits");
        let fits = steps(&plan, |step| step.kernel == Kernel::FitParams);
        assert!(fits.len() > 2, "{}", fits.len());
        let (mut numbers, mut at) = (0, 0);
        for step in fits {
            let [table, fitted] = [Slot::Limits, Slot::Fitted].map(|slot| {
                let bound = bound(step, slot).expect("it is bound");
                assert!(bound.size <= caps.max_binding_bytes, "{bound:?}");
                bound
            });
            let first = table.offset / 16 + u64::from(step.params.input_offset);
            assert_eq!(first, numbers, "after those before");
            let rows = u64::from(step.params.rows);
            assert_eq!(table.offset + table.size, (first + rows) * 16);
            assert_eq!((step.cost, step.grid[0]), (2 * rows, rows.div_ceil(64) as u32));
            assert_eq!([fitted.offset, u64::from(step.params.output_offset) * 4], [at; 2]);
            numbers += rows;
            at = fitted.offset + fitted.size;
        }
        assert_eq!(numbers, plan.limits.len() as u64);
        assert_eq!(at, plan.fitted.len() as u64 * Params::STRIDE);
    }
}

/// What is stored of a sum over rows stays, where none is left to add; the first one is stored anyway.
#[test]
fn sums_over_rows_that_none_is_left_of() {
    let (mut layer, problem) = layer();
    layer.dweight = Some(tight(4));
    let plan = planned(&(layer, problem), &untimed());
    let is_sum =
        |step: &Step| matches!(step.kernel, Kernel::Product(it) if it.form == Form::LeftTransposed);
    let mut firsts = plan.steps[plan.fitted.clone()].iter().filter(|step| is_sum(step));
    assert_eq!(firsts.next().map(|step| step.params.first_row), Some(0));
    let whole: Vec<_> = plan.limits.iter().filter(|limit| limit.is_whole == 1).collect();
    let later = (1..20).map(|chunk| chunk * ROOM as u32);
    assert!(whole.iter().map(|limit| limit.first).eq(later), "{whole:?}");
    // As many as there are classes.
    assert!(whole.iter().all(|limit| limit.most == 3), "{whole:?}");
}

/// For the loss alone rows are gathered 4 MiB at a time, or in half of the scratch.
#[test]
fn as_many_rows_are_gathered_as_there_is_room_for() {
    let starts = |scratch_bytes| {
        let (layer, problem) = layer();
        let wide = Layer { width: 2048, hidden: tight(2048), weight: tight(2048), ..layer };
        let wide = Layer { dhidden: None, scratch_bytes, ..wide };
        let passes = vec![main_pass(RowOp::CrossEntropy, Destination::None)];
        let plan = wide.plan(&Problem { passes, ..problem }, &h200(), &untimed());
        let plan = plan.expect("it fits");
        steps(&plan, of_hidden).iter().map(|step| step.params.first_row).collect::<Vec<_>>()
    };
    assert_eq!(starts(1 << 30), [0, 512], "of 8 KiB each");
    assert_eq!(starts(6 << 20), [0, 384, 768]);
}

/// Three numbers of each row, seven apart, go where its logits are swept with them.
#[test]
fn probabilities_are_gathered_with_their_rows() {
    for gradient in [true, false] {
        let (layer, problem) = layer();
        let output = if gradient { Destination::InPlace } else { Destination::None };
        let dhidden = layer.dhidden.filter(|_| gradient);
        // Of a row: it, its gradient, three logits and three probabilities.
        let scratch_bytes = ROOM * (16 + if gradient { 16 } else { 0 } + 12 + 12);
        let layer = Layer { dhidden, scratch_bytes, ..layer };
        let problem = Problem {
            passes: vec![main_pass(RowOp::LabelCrossEntropy, output)],
            second: Some(Region { row_stride: 7, ..tight(3) }),
            ..problem
        };
        let plan = planned(&(layer, problem), &untimed());
        let of_probs = |step: &Step| {
            step.kernel == Kernel::GatherRows
                && bound(step, Slot::Input).is_some_and(|it| it.role == Role::Slot(Slot::Second))
        };
        let gathered = steps(&plan, of_probs);
        // A binding holds 595 rows 28 bytes apart; kept rows 600 and later are all in the second window.
        let (first, second) = ([0, 595], [595, 405]);
        let windows = |start: u32| if start < 595 { vec![first, second] } else { vec![second] };
        let want: Vec<_> = (0..20u32)
            .flat_map(|chunk| windows(chunk * 50).into_iter().map(move |it| (chunk * 50, it)))
            .collect();
        let got: Vec<_> = gathered
            .iter()
            .map(|it| (it.params.first_row, [it.params.window_row, it.params.window_rows]))
            .collect();
        assert_eq!(got, want);
        for step in gathered {
            let to = bound(step, Slot::Output).expect("it writes");
            assert_eq!((to.role, to.offset, to.size), (Role::KeptSecond, 0, ROOM * 12));
            assert_eq!((step.params.words, step.cost), (3, 2 * ROOM * 3));
        }
        let swept = steps(&plan, |it| bound(it, Slot::Second).is_some_and(is_of_probs));
        assert_eq!(swept.len(), 20, "once a chunk");
        assert!(plan.kept.contains(&(Role::KeptSecond, ROOM * 12)));
    }
}

fn is_of_probs(bound: Bound) -> bool {
    bound.role == Role::KeptSecond
}
