//! A linear layer with cross-entropy behind it, recorded into an encoder of one's own: on a device with
//! the least limits, matrices in parts of buffers, any number of times.

mod common;

use common::bench::{Bench, assert_close};
use common::linear::Layer;
use common::reference;
use surprisal::gpu::{
    LinearCrossEntropyBuffers, MatrixBuffer, TargetsBuffer, UpstreamBuffer, VectorBuffer,
};
use surprisal::{Array, CrossEntropy, Dtype, Error, LinearCrossEntropy};

const ROWS: usize = 45;
const WIDTH: usize = 18;
const CLASSES: usize = 133;

/// With NaN in the rows that are ignored.
fn layer() -> Layer {
    Layer::new(ROWS, WIDTH, CLASSES, Dtype::F32)
}

fn embedded(array: &Array, width: usize, offset: usize, stride: usize) -> Vec<f32> {
    let values = array.as_f32().expect("it is f32");
    let mut all = vec![7.0; offset + values.len() / width * stride + 3];
    for (row, from) in values.chunks(width).enumerate() {
        all[offset + row * stride..][..width].copy_from_slice(from);
    }
    all
}

#[test]
fn gradients_in_parts_of_buffers_again_and_again() {
    check(&layer());
    check(&layer().with_all_rows().with_probs(Dtype::F32));
}

fn check(layer: &Layer) {
    let bench = Bench::new();
    let op = LinearCrossEntropy::new(CrossEntropy::new().with_z_loss(1e-3).with_metrics());
    // Chunks of seven rows.
    let op = op.with_gradient().with_scratch_bytes(4 * 7 * CLASSES as u64);
    let input = layer.input(surprisal::Reduction::Mean);
    let want = reference::linear_cross_entropy(&op, &input).expect("it is sound");

    let (rows, width, classes) = (ROWS as u64, WIDTH as u64, CLASSES as u64);
    let hidden = bench.buffer(&embedded(&layer.hidden, WIDTH, 5, WIDTH + 2));
    let weight = bench.buffer(&embedded(&layer.weight, WIDTH, 3, WIDTH + 1));
    let bias = bench.buffer(layer.bias.as_ref().and_then(Array::as_f32).expect("it has one"));
    let indices = bench.buffer(&layer.targets);
    let probs =
        layer.probs.as_ref().map(|probs| bench.buffer(&embedded(probs, CLASSES, 4, CLASSES + 2)));
    let targets = match &probs {
        Some(probs) => TargetsBuffer::Probs(
            MatrixBuffer::new(probs, rows, classes).with_offset(16).with_row_stride(classes + 2),
        ),
        None => TargetsBuffer::I64(VectorBuffer::new(&indices)),
    };
    let of_hidden = vec![7.0f32; 2 + ROWS * (WIDTH + 3)];
    let dhidden = bench.buffer(&of_hidden);
    let dweight = bench.buffer(&vec![f32::NAN; CLASSES * WIDTH]);
    let dbias = bench.buffer(&vec![f32::NAN; CLASSES]);
    let matrix = |buffer, rows, offset: u64, gap| {
        MatrixBuffer::new(buffer, rows, width).with_offset(4 * offset).with_row_stride(width + gap)
    };
    let buffers = LinearCrossEntropyBuffers::new(
        matrix(&hidden, rows, 5, 2),
        matrix(&weight, classes, 3, 1),
        targets,
    )
    .with_bias(VectorBuffer::new(&bias))
    .with_upstream(UpstreamBuffer::Scalar(-1.5))
    .with_dhidden(matrix(&dhidden, rows, 2, 3))
    .with_dweight(MatrixBuffer::new(&dweight, classes, width))
    .with_dbias(VectorBuffer::new(&dbias));
    let call = bench.gpu.prepare_blocking(&op, buffers).expect("it is sound");
    for _ in 0..2 {
        bench.submit(|encoder| call.encode(encoder));
        let summary = call.read_summary_blocking().expect("targets are sound");
        assert_close(&[summary.loss], &[want.loss.reduced().expect("a mean")]);
        // Without index targets and without a mask nothing is counted.
        let kept_rows = if layer.probs.is_some() { 0 } else { want.kept_rows };
        assert_eq!(u64::from(summary.kept_rows), kept_rows);
        let lse: Vec<f32> =
            call.read_stats_blocking().expect("it has some").iter().map(|row| row[1]).collect();
        assert_close(&lse, &want.lse.to_f64());
        let metrics = call.read_metrics_blocking().expect("asked for");
        assert_eq!(Some(metrics.argmax), want.metrics.as_ref().map(|it| it.argmax.clone()));

        let got: Vec<f32> = bench.read(&dhidden);
        let rows = got[2..].chunks(WIDTH + 3);
        assert!(rows.clone().all(|row| row[WIDTH..] == [7.0; 3]), "gaps stay as they are");
        let got: Vec<f32> = rows.flat_map(|row| row[..WIDTH].to_vec()).collect();
        let close = |got: &[f32], want: &Option<Array>| {
            let want = want.as_ref().expect("asked for").to_f64();
            let off = got.iter().zip(&want).map(|(got, want)| (f64::from(*got) - want).abs());
            assert!(got.len() == want.len() && off.fold(0.0, f64::max) < 1e-6);
        };
        close(&got, &want.dhidden);
        close(&bench.read::<f32>(&dweight), &want.dweight);
        close(&bench.read::<f32>(&dbias), &want.dbias);
    }
}

#[test]
fn what_is_wrong_is_named() {
    let bench = Bench::new();
    let buffer = bench.buffer(&[0.0f32; 64]);
    let (other, targets) = (bench.buffer(&[0.0f32; 64]), bench.buffer(&[0i32; 4]));
    let with_weight = |classes, width| {
        LinearCrossEntropyBuffers::new(
            MatrixBuffer::new(&buffer, 4, 3),
            MatrixBuffer::new(&buffer, classes, width),
            TargetsBuffer::I32(VectorBuffer::new(&targets)),
        )
    };
    let new = || with_weight(5, 3);
    let op = LinearCrossEntropy::new(CrossEntropy::new());
    let asks = op.clone().with_hidden_gradient();
    let wrong = [
        (op.clone(), with_weight(5, 2), "weight"),
        (op.clone(), with_weight(0, 3), "weight"),
        (asks.clone(), new(), "dhidden"),
        (op.clone(), new().with_dhidden(MatrixBuffer::new(&other, 4, 3)), "dhidden"),
        (asks.clone(), new().with_dhidden(MatrixBuffer::new(&other, 3, 3)), "dhidden"),
        (asks.clone(), new().with_dhidden(MatrixBuffer::new(&buffer, 4, 3)), "gradient"),
        (op.clone(), new().with_bias(VectorBuffer::new(&targets).with_offset(4)), "bias"),
        (op.clone(), new().with_dbias(VectorBuffer::new(&other)), "dbias"),
        (op.with_scratch_bytes(19), new(), "scratch_bytes"),
    ];
    for (op, buffers, name) in wrong {
        let error = bench.gpu.prepare_blocking(&op, buffers).expect_err("it is wrong");
        let named = match error {
            Error::InvalidInput { what, .. } | Error::ShapeMismatch { what, .. } => what,
            Error::InvalidBuffer { name, .. } => name,
            other => panic!("{name}: {other}"),
        };
        assert_eq!(named, name);
    }
}
