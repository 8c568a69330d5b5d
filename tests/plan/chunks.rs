//! How much of a layer's logits there is at a time, and how products are cut: worked out by hand.

use surprisal::gpu::plan::{
    Destination, Ignored, Layer, MAX_DEPTH, Operand, Plan, Problem, Product, Region, Role, Step,
    TargetRegion,
};
use surprisal::gpu::{Caps, Form, Kernel, RowOp, Slot, Start, TargetType, Tile, Tuning};
use surprisal::{Error, Result};

use crate::problems::main_pass;
use crate::{bound, h200, loss_and_gradient, tight};

/// A layer with a gradient, and the problem over its logits.
fn layer(rows: u64, classes: u64, scratch_bytes: u64) -> (Layer, Problem) {
    let layer = Layer {
        width: 4,
        hidden: tight(4),
        weight: tight(4),
        bias: None,
        dhidden: Some(tight(4)),
        dweight: None,
        dbias: None,
        scratch_bytes,
        ignored: Ignored::Multiplied,
    };
    let passes = vec![main_pass(RowOp::CrossEntropy, Destination::InPlace)];
    (layer, Problem { passes, ..loss_and_gradient(rows, classes) })
}

/// Rows and columns of the parts that logits are made in.
fn made(plan: &Plan) -> Vec<[u32; 2]> {
    let is_made = |step: &&Step| matches!(step.kernel, Kernel::Product(product) if product.form == Form::RightTransposed);
    plan.steps.iter().filter(is_made).map(|step| [step.params.rows, step.params.columns]).collect()
}

fn untimed(caps: &Caps) -> Tuning {
    let mut tuning = Tuning::new(caps);
    tuning.budget = std::time::Duration::MAX;
    tuning
}

fn by_rows((layer, problem): &(Layer, Problem), caps: &Caps) -> Result<Plan> {
    layer.plan(problem, caps, &untimed(caps))
}

fn by_classes((layer, problem): &(Layer, Problem), caps: &Caps, block: u64) -> Result<Plan> {
    layer.plan_in_blocks(problem, caps, &untimed(caps), block)
}

#[test]
fn chunks_of_rows_are_whole_tiles_where_they_can_be() {
    let rows = |rows, scratch| {
        let plan = by_rows(&layer(rows, 1000, scratch), &h200()).expect("it fits");
        assert_eq!(plan.logits_bytes, u64::from(made(&plan)[0][0]) * 4000);
        made(&plan).into_iter().map(|[rows, _]| rows).collect::<Vec<_>>()
    };
    assert_eq!(rows(700, 300 * 4000), [256, 256, 188], "of 300 that would fit");
    assert_eq!(rows(300, 300 * 4000), [300], "all of them");
    assert_eq!(rows(150, 129 * 4000), [128, 22]);
    assert_eq!(rows(150, 100 * 4000), [100, 50], "less than a tile");
    assert_eq!(rows(3, 1), [1, 1, 1], "a row at least");
}

#[test]
fn a_row_of_logits_may_fill_a_binding() {
    let on = |bytes| {
        let caps = Caps { max_binding_bytes: bytes, ..h200() };
        by_rows(&layer(3, 1000, 1 << 20), &caps)
    };
    assert!(on(4032).is_ok());
    // A window of rows keeps 32 bytes for aligning its start.
    let (needed, limit) = (4000, 3968);
    assert_eq!(on(4000), Err(Error::TooLarge { what: "a row", needed, limit }));
    let what = "a row of logits";
    assert_eq!(on(3996), Err(Error::TooLarge { what, needed: 4000, limit: 3996 }));
}

#[test]
fn chunks_of_classes_are_whole_tiles_where_they_can_be() {
    let columns = |classes, scratch| {
        let plan = by_classes(&layer(10, classes, scratch), &h200(), classes).expect("it fits");
        assert_eq!(plan.logits_bytes, u64::from(made(&plan)[0][1]) * 40);
        made(&plan).into_iter().map(|[_, columns]| columns).collect::<Vec<_>>()
    };
    assert_eq!(columns(700, 300 * 40), [256, 256, 188], "of 300 that would fit");
    assert_eq!(columns(300, 300 * 40), [300], "all of them");
    assert_eq!(columns(150, 129 * 40), [128, 22]);
    assert_eq!(columns(150, 100 * 40), [100, 50], "less than a tile");
    assert_eq!(columns(3, 40), [1, 1, 1], "one fills the scratch");
}

/// The gradient of a bias is summed over so many rows at a time as a dispatch may go.
#[test]
fn sums_of_columns_go_on() {
    let (layer, problem) = layer(2 * MAX_DEPTH + 100, 3, 1 << 30);
    let vector = Region { row_stride: 0, ..tight(0) };
    let layer = Layer { dhidden: None, bias: Some(vector), dbias: Some(vector), ..layer };
    let plan = by_rows(&(layer, problem), &h200()).expect("it fits");
    let sums = plan.steps.iter().filter(|step| step.kernel == Kernel::ColumnSums);
    let from = |step: &Step| bound(step, Slot::Input).expect("logits are read").offset;
    let sums: Vec<_> = sums.map(|s| (s.params.rows, s.params.continued, from(s))).collect();
    let bytes = MAX_DEPTH * 12;
    let depth = MAX_DEPTH as u32;
    assert_eq!(sums, [(depth, 0, 0), (depth, 1, bytes), (100, 1, 2 * bytes)]);
}

/// And over no more than a dispatch may take.
#[test]
fn sums_of_columns_keep_the_budget() {
    let (layer, problem) = layer(1000, 100, 1 << 30);
    let vector = Region { row_stride: 0, ..tight(0) };
    let layer = Layer { dhidden: None, bias: Some(vector), dbias: Some(vector), ..layer };
    let rows = |elements| {
        let mut tuning = Tuning::new(&h200());
        tuning.budget = std::time::Duration::from_secs(1);
        tuning.elements_per_second = elements;
        let plan = layer.plan(&problem, &h200(), &tuning).expect("it fits");
        let sums = plan.steps.into_iter().filter(|step| step.kernel == Kernel::ColumnSums);
        sums.map(|step| step.params.rows).collect::<Vec<_>>()
    };
    assert_eq!(rows(40_000), [400, 400, 200]);
    assert_eq!(rows(99).len(), 1000, "a row at least");
}

/// A layer of so many rows, of which the ignored ones are left out, on a device with bindings of 2^27 bytes.
fn left_out(rows: u64) -> Result<Plan> {
    let (layer, problem) = layer(rows, 4, 1 << 28);
    let layer = Layer { width: 1, hidden: tight(1), weight: tight(1), ..layer };
    let layer = Layer { dhidden: Some(tight(1)), ignored: Ignored::LeftOut, ..layer };
    let targets = TargetRegion { offset: 0, width: TargetType::I64, ignore_index: Some(-100) };
    let problem = Problem { targets: Some(targets), ..problem };
    by_rows(&(layer, problem), &Caps { max_binding_bytes: 1 << 27, ..h200() })
}

/// More rows than a binding holds targets of: 8 bytes each, where their list takes 4.
#[test]
fn targets_are_moved_within_a_binding() {
    let plan = left_out(20_000_000).expect("it fits");
    let bound = plan.steps.iter().flat_map(|step| &step.bindings);
    let largest = bound.map(|bound| bound.size).max().expect("there are some");
    assert!(largest <= 1 << 27, "{largest}");
}

#[test]
fn the_list_of_kept_rows_has_to_fit() {
    assert!(left_out(1 << 25).is_ok(), "it fills a binding");
    let (what, limit) = ("the list of rows that are not ignored", 1 << 27);
    let error = left_out((1 << 25) + 1).expect_err("it is longer");
    assert_eq!(error, Error::TooLarge { what, needed: limit + 4, limit });
}

#[test]
fn a_driver_that_allows_any_grid_is_no_overflow() {
    let caps = Caps { max_workgroups: u32::MAX, ..h200() };
    let (layer, problem) = layer(1000, 100, 1 << 20);
    let layer = Layer { ignored: Ignored::LeftOut, ..layer };
    let moves = |caps: &Caps| {
        let plan = layer.plan(&problem, caps, &untimed(caps)).expect("it fits");
        plan.steps.iter().filter(|step| step.kernel == Kernel::GatherRows).count()
    };
    assert_eq!(moves(&caps), moves(&h200()));
}

#[test]
fn the_logits_of_a_class_have_to_fit() {
    let on = |bytes| {
        let caps = Caps { max_binding_bytes: bytes, ..h200() };
        by_classes(&layer(4000, 200, 1 << 20), &caps, 200)
    };
    // 32 bytes are kept for aligning a window's start.
    assert!(on(1 << 20).is_ok());
    let what = "the logits of a class";
    assert_eq!(on(16_028), Err(Error::TooLarge { what, needed: 16_000, limit: 15_996 }));
    let caps = Caps { max_binding_bytes: 4 * 8192 + 32, ..h200() };
    assert!(by_classes(&layer(8192, 200, 1 << 20), &caps, 200).is_ok(), "as long as a binding");
    let scratch = |bytes| by_classes(&layer(1000, 200, bytes), &h200(), 200);
    assert!(scratch(4000).is_ok());
    let Err(Error::InvalidInput { what, reason }) = scratch(3999) else { panic!("it fits") };
    assert_eq!(what, "scratch_bytes");
    assert_eq!(reason, "3999 bytes do not hold the 4000 needed");
}

fn product(rows: u64, columns: u64, depth: u64) -> Product {
    let operand = |slot, width| Operand { role: Role::Slot(slot), region: tight(width) };
    Product {
        form: Form::RightTransposed,
        rows,
        columns,
        depth,
        left: operand(Slot::Input, depth),
        right: operand(Slot::Second, depth),
        output: operand(Slot::Output, columns),
        start: Start::Zero,
        bias: None,
    }
}

fn parts(product: &Product, caps: &Caps, tuning: &Tuning) -> Vec<[u32; 3]> {
    let steps = product.steps(caps, tuning).expect("it fits");
    steps.iter().map(|step| [step.params.rows, step.params.columns, step.params.depth]).collect()
}

#[test]
fn a_product_is_in_one_part_if_nothing_cuts_it() {
    let whole = product(5000, 3000, 700);
    assert_eq!(parts(&whole, &h200(), &untimed(&h200())), [[5000, 3000, 700]]);
}

#[test]
fn a_dispatch_goes_so_deep() {
    let depth = MAX_DEPTH as u32;
    let deep = product(3, 5, MAX_DEPTH + 1);
    assert_eq!(parts(&deep, &h200(), &untimed(&h200())), [[3, 5, depth], [3, 5, 1]]);
    let deep = product(3, 5, MAX_DEPTH);
    assert_eq!(parts(&deep, &h200(), &untimed(&h200())), [[3, 5, depth]]);
}

/// Few large tiles leave much of a GPU idle: then they are smaller.
#[test]
fn a_product_of_few_tiles_has_smaller_ones() {
    let tile = |rows, columns| {
        let steps = product(rows, columns, 8).steps(&h200(), &untimed(&h200()));
        match steps.expect("it fits")[0].kernel {
            Kernel::Product(kernel) => kernel.tile,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(tile(16 * 128, 16 * 128), Tile::Large, "256 tiles");
    assert_eq!(tile(15 * 128 + 1, 15 * 128 + 1), Tile::Large, "as many begun");
    assert_eq!(tile(15 * 128, 17 * 128), Tile::Medium, "255");
}

/// A binding of 1 MiB has room for 262 rows of 4000 bytes: two tiles of 128.
#[test]
fn parts_are_whole_tiles_where_they_can_be() {
    let caps = Caps { max_binding_bytes: 1 << 20, ..h200() };
    let cut = |rows, depth| {
        let cut = parts(&product(rows, 8, depth), &caps, &untimed(&caps));
        cut.into_iter().map(|[rows, _, _]| rows).collect::<Vec<_>>()
    };
    assert_eq!(cut(600, 1000), [256, 256, 88]);
    assert_eq!(cut(262, 1000), [262], "all that there is");
    // 26 rows of 40,000 bytes: less than a tile, of which fours are left.
    assert_eq!(cut(60, 10_000), [24, 24, 12]);
    // Two rows of 400,000 bytes.
    let caps = Caps { max_binding_bytes: 1 << 20, ..h200() };
    let long = Product { form: Form::LeftTransposed, ..product(4, 100_000, 5) };
    let long = Product { left: Operand { region: tight(4), ..long.left }, ..long };
    let long = Product { right: Operand { region: tight(100_000), ..long.right }, ..long };
    let depths = parts(&long, &caps, &untimed(&caps));
    assert_eq!(depths.iter().map(|part| part[2]).max(), Some(2), "{depths:?}");
}

/// The longer side is cut first, in whole tiles: reading is least where parts are square.
#[test]
fn time_cuts_the_longer_side() {
    let mut tuning = Tuning::new(&h200());
    tuning.budget = std::time::Duration::from_secs(1);
    // Of medium tiles, 32 x 64, with a depth of 8: 32,768 operations each. Room for six.
    tuning.operations_per_second = 6 * 32_768;
    let wide = parts(&product(64, 640, 8), &h200(), &tuning);
    assert_eq!(wide[0], [64, 192, 8], "two tiles down, three across");
    let tall = parts(&product(640, 128, 8), &h200(), &tuning);
    assert_eq!(tall[0], [96, 128, 8], "three tiles down, two across");
    // Not even one: a dispatch has one nevertheless.
    tuning.operations_per_second = 1;
    assert_eq!(parts(&product(64, 128, 8), &h200(), &tuning), [[32, 64, 8]; 4]);
    // Fewer than the shorter side has.
    tuning.operations_per_second = 3 * 32_768;
    assert_eq!(parts(&product(160, 640, 8), &h200(), &tuning)[0], [96, 64, 8]);
}

#[test]
fn the_grid_cuts_products() {
    // Four workgroups: two by two of them.
    let caps = Caps { max_workgroups: 2, ..h200() };
    let cut = parts(&product(64, 640, 8), &caps, &untimed(&caps));
    assert_eq!(cut, [[64, 128, 8]; 5]);
}

#[test]
fn a_product_needs_rows_that_fit_and_lanes() {
    let caps = Caps { max_binding_bytes: 4032, ..h200() };
    assert!(product(3, 8, 1000).steps(&caps, &untimed(&caps)).is_ok(), "32 bytes to spare");
    let error = product(3, 8, 1001).steps(&caps, &untimed(&caps));
    assert_eq!(error, Err(Error::TooLarge { what: "a row", needed: 4004, limit: 4000 }));
    let on = |lanes| {
        let caps = Caps { max_workgroup_size: lanes, ..h200() };
        product(3, 8, 10).steps(&caps, &untimed(&caps))
    };
    assert!(on(32).is_ok());
    assert_eq!(on(31), Err(Error::TooLarge { what: "a workgroup", needed: 32, limit: 31 }));
}

#[test]
fn matrices_of_whole_words_are_read_four_at_a_time() {
    use surprisal::gpu::Word::{F32, F32x4};
    let words = |product: Product, caps: &Caps| {
        let steps = product.steps(caps, &untimed(caps)).expect("it fits");
        let Kernel::Product(kernel) = steps[0].kernel else { panic!("{:?}", steps[0].kernel) };
        (kernel.left, kernel.right, kernel.by_four)
    };
    assert_eq!(words(product(5, 8, 16), &h200()), (F32x4, F32x4, true));
    assert_eq!(words(product(5, 8, 18), &h200()), (F32, F32, true));
    assert_eq!(words(product(5, 9, 16), &h200()), (F32x4, F32x4, false));
    let mut shifted = product(5, 8, 16);
    shifted.left.region.offset = 8;
    assert_eq!(words(shifted, &h200()), (F32, F32x4, true));
    shifted.left.region.offset = 16;
    assert_eq!(words(shifted, &h200()), (F32x4, F32x4, true));
    shifted.right.region.row_stride = 18;
    assert_eq!(words(shifted, &h200()), (F32x4, F32, true));
    let caps = Caps { storage_alignment: 8, ..h200() };
    assert_eq!(words(product(5, 8, 16), &caps), (F32, F32, false), "a window may split a word");
}
