//! Linear layers with cross-entropy behind them on the GPU: within bounds of the definition by every
//! tile, in windows and chunks of any size; and the same bits wherever they are cut.

mod common;

use common::Subject;
use common::linear::{
    Layer, check, check_both, check_output, in_blocks, in_windows, options, part_of,
};
use surprisal::gpu::{Gpu, Tile};
use surprisal::{
    Array, CrossEntropy, Device, Dtype, Error, LinearCrossEntropy, LinearCrossEntropyOutput,
    Matrix, Reduction, Upstream,
};

fn with_tile(tile: Tile) -> Gpu {
    let gpu = common::gpu();
    let mut tuning = gpu.tuning();
    tuning.product_tile = tile;
    gpu.with_tuning(tuning)
}

/// Bindings of a few rows, grids three workgroups wide.
fn small() -> Gpu {
    let gpu = common::gpu();
    let mut caps = gpu.caps().clone();
    (caps.max_binding_bytes, caps.max_workgroups) = (20_000, 3);
    gpu.with_caps(caps)
}

/// As many dispatches and submissions as there can be.
fn short() -> Gpu {
    let gpu = common::gpu();
    let mut tuning = gpu.tuning();
    tuning.operations_per_second = 1;
    gpu.with_tuning(tuning)
}

/// No room for a tile of logits beside what makes them.
fn without_tiles() -> Gpu {
    let gpu = common::gpu();
    let mut caps = gpu.caps().clone();
    caps.workgroup_memory = 12_000;
    gpu.with_caps(caps)
}

#[test]
fn every_option() {
    let subject = Subject::gpu("as it chooses", common::gpu());
    for (rows, width, classes) in [(1, 1, 1), (37, 19, 131)] {
        let layer = Layer::new(rows, width, classes, Dtype::F32);
        for layer in [layer.clone(), layer.with_probs(Dtype::F32)] {
            for loss in options(classes) {
                check_both(&subject, &layer, loss);
            }
        }
    }
}

/// The least and the most that there is to an option.
fn plain_and_all(classes: usize) -> Vec<CrossEntropy> {
    let mut options = options(classes);
    vec![options.swap_remove(0), options.swap_remove(0)]
}

#[test]
fn every_way_to_cut() {
    let subjects = [
        Subject::gpu("medium tiles", with_tile(Tile::Medium)),
        Subject::gpu("in small windows", small()),
        Subject::gpu("in short dispatches", short()),
        Subject::gpu("without tiles of logits", without_tiles()),
    ];
    let layer = Layer::new(64, 32, 128, Dtype::F32);
    for layer in [layer.clone(), layer.with_probs(Dtype::F32)] {
        for subject in &subjects {
            for loss in plain_and_all(layer.classes) {
                check_both(subject, &layer, loss);
            }
        }
    }
}

#[test]
fn sixteen_bits_and_no_bias() {
    let subject = Subject::gpu("small", small());
    for dtype in [Dtype::F16, Dtype::Bf16] {
        let layer = Layer::new(23, 17, 300, dtype);
        for layer in [layer.clone(), layer.clone().with_probs(dtype), layer.without_bias()] {
            for loss in plain_and_all(layer.classes) {
                check_both(&subject, &layer, loss);
            }
        }
    }
}

#[test]
fn each_gradient_by_itself() {
    let layer = Layer::new(12, 8, 20, Dtype::F32);
    let op = LinearCrossEntropy::new(CrossEntropy::new());
    let subject = Subject::gpu("as it chooses", common::gpu());
    for op in [
        op.clone().with_hidden_gradient(),
        op.clone().with_weight_gradient(),
        op.with_bias_gradient(),
    ] {
        check(&subject, &layer, &op).expect("within bounds");
    }
}

/// The bits of all that is returned.
fn bits(gpu: Gpu, layer: &Layer, op: &LinearCrossEntropy) -> Vec<Vec<u8>> {
    let output: LinearCrossEntropyOutput =
        Device::with_gpu(gpu).run(op, layer.input(op.loss().reduction())).expect("it is sound");
    let arrays = [&output.dhidden, &output.dweight, &output.dbias].into_iter().flatten();
    let arrays = arrays.chain([&output.lse]).map(|array| array.as_bytes().to_vec());
    arrays.chain([output.loss.reduced().map_or(Vec::new(), |x| x.to_le_bytes().to_vec())]).collect()
}

#[test]
fn cuts_do_not_change_a_bit() {
    let whole = Layer::new(150, 16, 300, Dtype::F32);
    let probs = Layer::new(70, 33, 517, Dtype::F32).with_probs(Dtype::F32);
    for layer in [whole, probs, Layer::new(70, 33, 517, Dtype::Bf16)] {
        let Layer { rows, width, classes, .. } = layer;
        let loss = CrossEntropy::new().with_label_smoothing(0.1).with_metrics();
        for op in
            [LinearCrossEntropy::new(loss.clone()), LinearCrossEntropy::new(loss).with_gradient()]
        {
            let whole = bits(common::gpu(), &layer, &op);
            for gpu in [small(), short()] {
                assert!(bits(gpu, &layer, &op) == whole, "{rows} x {width} x {classes}: {op:?}");
            }
            for rows in [1, 3, 64, 129] {
                let op = op.clone().with_scratch_bytes(4 * classes as u64 * rows);
                assert!(bits(common::gpu(), &layer, &op) == whole, "{op:?}");
            }
        }
        // With stored logits, tiles of any size make the same.
        let op = LinearCrossEntropy::new(CrossEntropy::new()).with_gradient();
        let whole = bits(common::gpu(), &layer, &op);
        for tile in [Tile::Slim, Tile::Medium, Tile::Large] {
            assert!(bits(with_tile(tile), &layer, &op) == whole, "{tile:?}");
        }
    }
}

/// Everything that is returned, as numbers.
fn numbers(output: &LinearCrossEntropyOutput) -> Vec<Vec<f64>> {
    let arrays = [&output.dhidden, &output.dweight, &output.dbias].into_iter().flatten();
    let each = output.loss.each().map_or(vec![output.loss.reduced().unwrap_or(0.0)], Array::to_f64);
    arrays.map(Array::to_f64).chain([output.lse.to_f64(), each]).collect()
}

#[test]
fn windows_of_rows_do_not_change_a_bit() {
    let device = Device::with_gpu(common::gpu());
    let options = CrossEntropy::new().with_label_smoothing(0.1).with_metrics();
    for dtype in [Dtype::F32, Dtype::Bf16] {
        let layer = Layer::new(75, 17, 300, dtype);
        let layers = [layer.clone(), layer.with_probs(dtype)];
        let losses = [options.clone(), options.clone().with_reduction(Reduction::None)];
        for (layer, loss) in layers.iter().flat_map(|layer| losses.iter().map(move |l| (layer, l)))
        {
            let op = LinearCrossEntropy::new(loss.clone());
            for op in [op.clone(), op.with_gradient()] {
                let whole = device.run(&op, layer.input(op.loss().reduction())).expect("sound");
                // The second is larger than the first; the fourth row is ignored.
                for window in [1, 31, 74] {
                    let cut = in_windows(&device, &op, layer, window);
                    assert_eq!(numbers(&whole), numbers(&cut), "{op:?}: windows of {window}");
                    let correct = |output: &LinearCrossEntropyOutput| {
                        output.metrics.as_ref().map(|metrics| (metrics.correct, metrics.perplexity))
                    };
                    assert_eq!(correct(&whole), correct(&cut));
                }
            }
        }
    }
}

#[test]
fn a_window_uploads_its_rows_alone() {
    let gpu = common::gpu();
    let device = Device::with_gpu(gpu.clone());
    let layer = Layer::new(64, 16, 300, Dtype::F32);
    let op = LinearCrossEntropy::new(CrossEntropy::new()).with_gradient();
    let input = layer.input(Reduction::Mean);
    let stream = device.stream_linear(&op, input.weight, input.bias, input.targets);
    let mut stream = stream.expect("sound");
    let mut uploaded = Vec::new();
    // Of rows 3, 10, 17 and so on the target is ignored; the third window is the largest.
    for (first, rows) in [(0, 14), (14, 7), (21, 21), (42, 22)] {
        let before = gpu.uploaded_bytes();
        let hidden = part_of(&layer.hidden, first * 16..(first + rows) * 16);
        let matrix = Matrix::new(hidden.values(), rows, 16).expect("its shape");
        stream.push(matrix, input.upstream).expect("sound");
        uploaded.push(gpu.uploaded_bytes() - before);
    }
    stream.finish().expect("whole");
    let row = 16 * 4;
    // The layer, the bias and the targets, i64, of 55 kept rows come with the first.
    let resident = 300 * row + 300 * 4 + 55 * 8;
    assert_eq!(uploaded, [resident + 12 * row, 6 * row, 18 * row, 19 * row]);

    // Probabilities come with their rows, as f32.
    let layer = layer.with_probs(Dtype::F16);
    let before = gpu.uploaded_bytes();
    in_windows(&device, &op, &layer, 64);
    let whole_and_window = gpu.uploaded_bytes() - before;
    let resident = 300 * row + 300 * 4;
    assert_eq!(whole_and_window, 2 * (resident + 55 * (row + 300 * 4)));
}

#[test]
fn windows_that_are_not_like_the_first() {
    let device = Device::with_gpu(common::gpu());
    let layer = Layer::new(3, 4, 5, Dtype::F32);
    let op = LinearCrossEntropy::new(CrossEntropy::new());
    let input = layer.input(Reduction::Mean);
    let mut stream =
        device.stream_linear(&op, input.weight, input.bias, input.targets).expect("sound");
    let row = part_of(&layer.hidden, 0..4);
    let wide = Array::F64(row.to_f64());
    let matrix = |row| Matrix::new(Array::values(row), 1, 4).expect("its shape");
    stream.push(matrix(&row), Upstream::Scalar(2.0)).expect("the first");
    for (row, upstream, what) in [(&row, 3.0, "upstream"), (&wide, 2.0, "dtype")] {
        let error = stream.push(matrix(row), Upstream::Scalar(upstream)).expect_err("unlike");
        assert!(error.to_string().contains(what), "{error}");
    }
}

/// The loss with its gradients, and the loss alone, with the layer in blocks.
fn check_blocks(subject: &Subject, layer: &Layer, loss: &CrossEntropy, cut: (usize, usize)) {
    let op = LinearCrossEntropy::new(loss.clone());
    for op in [op.clone().with_gradient(), op] {
        let got = in_blocks(&subject.device, &op, layer, cut);
        check_output(subject, layer, &op, &got).expect("within bounds");
    }
}

#[test]
fn blocks_of_classes() {
    let subject = Subject::gpu("as it chooses", common::gpu());
    for (rows, width, classes, cut) in
        [(1, 1, 1, (1, 1)), (37, 19, 131, (37, 50)), (70, 12, 300, (40, 128))]
    {
        let layer = Layer::new(rows, width, classes, Dtype::F32);
        for loss in options(classes) {
            check_blocks(&subject, &layer, &loss, cut);
        }
    }
    for dtype in [Dtype::F16, Dtype::Bf16] {
        let layer = Layer::new(23, 17, 300, dtype);
        for layer in [layer.clone(), layer.without_bias()] {
            for loss in plain_and_all(layer.classes) {
                check_blocks(&subject, &layer, &loss, (23, 77));
            }
        }
    }
}

#[test]
fn every_way_to_cut_blocks() {
    let subjects = [
        Subject::gpu("medium tiles", with_tile(Tile::Medium)),
        Subject::gpu("in short dispatches", short()),
    ];
    let layer = Layer::new(64, 32, 200, Dtype::F32);
    for subject in &subjects {
        for loss in plain_and_all(layer.classes) {
            check_blocks(subject, &layer, &loss, (64, 96));
        }
    }
}

#[test]
fn blocks_and_their_parts_do_not_change_a_bit() {
    let layer = Layer::new(75, 17, 300, Dtype::F32);
    let loss = CrossEntropy::new().with_label_smoothing(0.1).with_metrics();
    let op = LinearCrossEntropy::new(loss);
    let device = Device::with_gpu(common::gpu());
    // Blocks of whole tiles make the loss that the whole layer makes.
    let whole = device.run(&op, layer.input(Reduction::Mean)).expect("sound");
    let cut = in_blocks(&device, &op, &layer, (75, 128));
    assert_eq!(whole.lse.to_f64(), cut.lse.to_f64());
    let op = op.with_gradient();
    let whole = numbers(&in_blocks(&device, &op, &layer, (75, 300)));
    // A chunk of logits has as many classes as fit the scratch.
    for (block, classes) in [(300, 1), (128, 50), (64, 300), (192, 130)] {
        let op = op.clone().with_scratch_bytes(4 * 75 * classes);
        let cut = numbers(&in_blocks(&device, &op, &layer, (75, block)));
        assert_eq!(whole, cut, "blocks of {block}, chunks of {classes}");
    }
    let cut = numbers(&in_blocks(&Device::with_gpu(short()), &op, &layer, (75, 128)));
    assert_eq!(whole, cut, "short dispatches");
}

#[test]
fn a_device_without_room_for_tiles_says_so() {
    let device = Device::with_gpu(without_tiles());
    let layer = Layer::new(3, 4, 5, Dtype::F32);
    let op = LinearCrossEntropy::new(CrossEntropy::new());
    let input = layer.input(Reduction::Mean);
    let mut stream = device.stream_classes(&op, 5, input.targets).expect("sound");
    let mut window = stream.window(input.hidden, input.upstream).expect("sound");
    let error = window.push(input.weight, input.bias).expect_err("no room");
    assert!(matches!(error, Error::DeviceTooSmall { .. }), "{error}");
}
