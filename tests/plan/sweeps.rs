//! How a layer's loss goes by tiles, and where it cannot: worked out by hand. A large GPU has tiles of 32
//! rows and 64 columns, a row of which four lanes sweep.

use surprisal::gpu::plan::{Destination, Ignored, Layer, LossNumbers, Plan, Problem, Region, Step};
use surprisal::gpu::{Caps, Kernel, RowOp, Slot, Tile, Tuning};
use surprisal::{Error, Result};

use crate::problems::main_pass;
use crate::{bound, h200, loss_and_gradient, tight};

/// A layer without a gradient, and the problem over its logits.
fn layer([rows, width, classes]: [u64; 3], scratch_bytes: u64) -> (Layer, Problem) {
    let layer = Layer {
        width,
        hidden: tight(width),
        weight: tight(width),
        bias: None,
        dhidden: None,
        dweight: None,
        dbias: None,
        scratch_bytes,
        ignored: Ignored::Multiplied,
    };
    let passes = vec![main_pass(RowOp::CrossEntropy, Destination::None)];
    (layer, Problem { passes, ..loss_and_gradient(rows, classes) })
}

fn plan_on(shape: [u64; 3], scratch: u64, caps: &Caps) -> Result<Plan> {
    let (layer, problem) = layer(shape, scratch);
    layer.plan(&problem, caps, &Tuning::new(caps))
}

/// Rows and columns of the sweeps of a plan.
fn sweeps(plan: &Plan) -> Vec<[u32; 2]> {
    let is_sweep = |step: &&Step| matches!(step.kernel, Kernel::TileSweep(_));
    let sweeps = plan.steps.iter().filter(is_sweep);
    sweeps.map(|step| [step.params.rows, step.params.columns]).collect()
}

const ROOM: u64 = 256 << 20;

#[test]
fn a_sweep_is_as_long_as_a_lane_may_go() {
    // A stripe's tile takes 256 + 64 + 2 + 64 of 28,000 iterations: 72 of them, by two stripes.
    let plan = plan_on([8192, 256, 128_256], ROOM, &h200()).expect("it fits");
    let mut want = vec![[8192, 144 * 64]; 13];
    want.push([8192, 128_256 - 13 * 144 * 64]);
    assert_eq!(sweeps(&plan), want);
    // Eight pieces of a word each, and two words for the row.
    let is_sweep = |step: &&Step| matches!(step.kernel, Kernel::TileSweep(_));
    assert!(plan.steps.iter().filter(is_sweep).all(|step| step.params.splits == 8));
    assert_eq!(plan.scratch_bytes, 8192 * 160);
}

/// With metrics a piece has a word for the best column.
#[test]
fn pieces_are_as_large_as_what_is_collected() {
    let (layer, problem) = layer([64, 64, 128], ROOM);
    let loss = LossNumbers { metrics: true, ..LossNumbers::default() };
    let plan = layer.plan(&Problem { loss, ..problem }, &h200(), &Tuning::new(&h200()));
    assert_eq!(plan.expect("it fits").scratch_bytes, 64 * (2 + 8 * 2) * 16);
}

#[test]
fn a_software_driver_sweeps_slim_tiles() {
    let tile = |software| {
        let plan = plan_on([64, 64, 128], ROOM, &Caps { software, ..h200() }).expect("it fits");
        plan.steps.iter().find_map(|step| match step.kernel {
            Kernel::TileSweep(kernel) => Some(kernel.product.tile),
            _ => None,
        })
    };
    assert_eq!([tile(true), tile(false)], [Some(Tile::Slim), Some(Tile::Medium)]);
}

/// The gradient of a block of classes is written by workgroups of 256 lanes, eight columns a lane.
#[test]
fn columns_of_a_block_are_shared_out() {
    let (layer, problem) = layer([10, 4, 10_000], ROOM);
    let layer = Layer { dhidden: Some(tight(4)), ..layer };
    let passes = vec![main_pass(RowOp::CrossEntropy, Destination::InPlace)];
    let problem = Problem { passes, ..problem };
    let mut tuning = Tuning::new(&h200());
    tuning.budget = std::time::Duration::from_secs(1);
    tuning.max_row_workgroup = 256;
    let mut columns = |elements_per_second, block| {
        tuning.elements_per_second = elements_per_second;
        let plan = layer.plan_in_blocks(&problem, &h200(), &tuning, block).expect("it fits");
        let steps = plan.steps.into_iter().filter(|step| matches!(step.kernel, Kernel::Rows(_)));
        steps.map(|step| (step.params, step.grid)).collect::<Vec<_>>()
    };
    let [(p, grid)] = columns(1 << 30, 10_000)[..] else { panic!("one window") };
    assert_eq!((p.columns, p.splits, p.split_words, p.words), (10_000, 5, 2000, 10_000));
    assert_eq!(grid, [50, 1]);
    // Read and written: 20 elements a column.
    let windows: Vec<_> = columns(20 * 4000, 10_000).iter().map(|(p, _)| p.columns).collect();
    assert_eq!(windows, [4000, 4000, 2000]);
    // A block's words end with it, not with the layer.
    let words: Vec<_> = columns(1 << 30, 6000).iter().map(|(p, _)| p.words).collect();
    assert_eq!(words, [6000, 4000]);
}

#[test]
fn stripes_fill_the_device() {
    let splits = |rows, classes| {
        let plan = plan_on([rows, 64, classes], ROOM, &h200()).expect("it fits");
        plan.steps.iter().map(|step| step.params.splits).max().expect("there are steps")
    };
    assert_eq!(splits(512 * 32, 6400), 4, "as many tiles of rows as workgroups");
    assert_eq!(splits(511 * 32, 6400), 2 * 4, "and one less");
    assert_eq!(splits(128 * 32, 6400), 4 * 4);
    assert_eq!(splits(32, 641), 11 * 4, "a stripe has a tile at least");
}

#[test]
fn rows_of_a_sweep_are_whole_tiles_where_they_can_be() {
    let rows = |scratch, caps: &Caps| {
        let plan = plan_on([320, 64, 128], scratch, caps).expect("it fits");
        sweeps(&plan).into_iter().map(|[rows, _]| rows).collect::<Vec<_>>()
    };
    assert_eq!(rows(ROOM, &h200()), [320]);
    assert_eq!(rows(100 * 160, &h200()), [96, 96, 96, 32], "a row leaves 160 bytes");
    assert_eq!(rows(40 * 160, &h200())[0], 32);
    assert_eq!(rows(20 * 160, &h200())[0], 20, "less than a tile");
    assert_eq!(rows(1, &h200())[0], 1, "a row at least");
    // 16 workgroups, two for each tile of rows.
    let caps = Caps { max_workgroups: 4, ..h200() };
    assert_eq!(rows(ROOM, &caps), [256, 64]);
    // Bindings: 62 rows of 256 bytes of what the layer reads, beside what aligning costs.
    let caps = Caps { max_binding_bytes: 70 * 256 + 32, ..h200() };
    assert_eq!(rows(ROOM, &caps)[0], 64);
}

#[test]
fn rows_of_a_sweep_are_as_many_as_its_time_allows() {
    let (layer, problem) = layer([320, 64, 128], ROOM);
    let mut tuning = Tuning::new(&h200());
    tuning.budget = std::time::Duration::from_secs(1);
    // What is reckoned with is the longest sweep: 191 tiles of each of two stripes.
    tuning.operations_per_second = 3 * (2 * 32 * (2 * 191 * 64) * 64);
    let plan = layer.plan(&problem, &h200(), &tuning).expect("it fits");
    assert_eq!(sweeps(&plan), [[96, 128], [96, 128], [96, 128], [32, 128]]);
    tuning.operations_per_second = 1;
    let plan = layer.plan(&problem, &h200(), &tuning).expect("it fits");
    assert_eq!(sweeps(&plan), [[32, 128]; 10], "a tile of rows at least");
}

/// Where tiles cannot be swept, logits are stored, chunk by chunk.
#[test]
fn what_tiles_need() {
    let is_swept = |shape, caps: &Caps| {
        let plan = plan_on(shape, ROOM, caps).expect("it fits");
        assert_eq!(sweeps(&plan).is_empty(), plan.logits_bytes > 0);
        plan.logits_bytes == 0
    };
    let shape = [100, 64, 1000];
    // Both factors' tiles, 16 deep, and a tile of logits whose rows are a word apart.
    let memory = (32 + 64) * 16 * 4 + 32 * (64 + 4) * 4;
    assert!(is_swept(shape, &Caps { workgroup_memory: memory, ..h200() }));
    assert!(!is_swept(shape, &Caps { workgroup_memory: memory - 1, ..h200() }));
    // A tile of weights: 64 rows of 4096 bytes.
    let shape = [100, 1024, 1000];
    assert!(is_swept(shape, &Caps { max_binding_bytes: 64 * 4096 + 32, ..h200() }));
    assert!(!is_swept(shape, &Caps { max_binding_bytes: 64 * 4096 + 28, ..h200() }));
    // A step of the depth, a quarter for staging, two more, and the sweep of 64 columns: 28,000.
    assert!(is_swept([100, 22_347, 1000], &h200()));
    assert!(!is_swept([100, 22_350, 1000], &h200()));
    let plan = plan_on([100, 64, 1000], ROOM, &h200()).expect("it fits");
    let bindings = |step: &Step| step.kernel.storage_bindings();
    let needed = plan.steps.iter().map(bindings).max().expect("there are steps");
    let on = |max_storage_bindings| Caps { max_storage_bindings, ..h200() };
    assert!(is_swept([100, 64, 1000], &on(needed)));
    assert!(!is_swept([100, 64, 1000], &on(needed - 1)));
}

/// The pieces of all rows stay in scratch from block to block; a part of the rows begins at whole tiles.
#[test]
fn blocks_of_classes_keep_all_rows() {
    let of = |rows, scratch, caps: &Caps| {
        let (layer, problem) = layer([rows, 64, 128], scratch);
        layer.plan_in_blocks(&problem, caps, &Tuning::new(caps), 64)
    };
    let caps = Caps { storage_alignment: 256, ..h200() };
    let plan = of(320, 1, &caps).expect("it fits");
    assert_eq!(sweeps(&plan), [[320, 64]; 2]);
    assert_eq!(plan.scratch_bytes, 320 * 160);
    // Parts of 16 workgroups, two for each tile of rows.
    let caps = Caps { max_workgroups: 4, ..h200() };
    let plan = of(320, 1, &caps).expect("it fits");
    assert_eq!(sweeps(&plan), [[256, 64], [64, 64], [256, 64], [64, 64]]);
    let is_sweep = |step: &&Step| matches!(step.kernel, Kernel::TileSweep(_));
    let scratch = plan.steps.iter().filter(is_sweep).filter_map(|step| bound(step, Slot::Scratch));
    let scratch: Vec<_> = scratch.map(|bound| [bound.offset, bound.size]).collect();
    let [first, second] = [[0, 256 * 160], [256 * 160, 64 * 160]];
    assert_eq!(scratch, [first, second, first, second]);
    assert_eq!(plan.scratch_bytes, 320 * 160);
    // A binding that holds less than a tile of rows of what the layer reads is none for tiles.
    let wide = |rows, bytes| {
        let caps = Caps { max_binding_bytes: bytes, ..h200() };
        let (layer, problem) = layer([rows, 64, 128], ROOM);
        let layer = Layer { hidden: Region { row_stride: 4096, ..tight(64) }, ..layer };
        layer.plan_in_blocks(&problem, &caps, &Tuning::new(&caps), 64)
    };
    let needed = 31 * 4096 * 4 + 64 * 4 + 32;
    assert!(wide(32, needed).is_ok());
    assert!(matches!(wide(32, needed - 4), Err(Error::DeviceTooSmall { .. })));
}
