//! Masks in an encoder of one's own, at any byte of a buffer: what they come to has the bits of the same
//! data in host memory. What a mean divides by is counted on the device.

mod common;

use common::bench::Bench;
use common::masks::{Data, Kept};
use common::small_windows;
use surprisal::gpu::{
    Call, CrossEntropyBuffers, DivergenceBuffers, ElementwiseBuffers, Gpu, MaskBuffer,
    MatrixBuffer, OutputBuffer, Record, TargetsBuffer, TransformBuffers, VectorBuffer,
};
use surprisal::{
    Array, BinaryCrossEntropy, CrossEntropy, CrossEntropyInput, Device, DivergenceInput, Dtype,
    ElementwiseInput, Error, JsDivergence, LogitsInput, Matrix, Reduction, Softmax, wgpu,
};

/// Bytes before a mask in its buffer.
const BEFORE: u64 = 3;

fn mask_buffer(bench: &Bench, mask: &[bool]) -> wgpu::Buffer {
    let mut bytes = vec![1u8; BEFORE as usize];
    bytes.extend(mask.iter().map(|&counts| if counts { 200 } else { 0 }));
    bytes.resize(bytes.len().next_multiple_of(4), 1);
    bench.buffer(&bytes)
}

fn mask_of(buffer: &wgpu::Buffer) -> MaskBuffer<'_> {
    MaskBuffer::new(buffer).with_offset(BEFORE)
}

fn matrix_buffer(bench: &Bench, array: &Array) -> wgpu::Buffer {
    let mut bytes = array.as_bytes().to_vec();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bench.buffer(&bytes)
}

fn view<'b>(buffer: &'b wgpu::Buffer, data: &Data) -> MatrixBuffer<'b> {
    MatrixBuffer::new(buffer, data.rows as u64, data.classes as u64).with_dtype(data.logits.dtype())
}

/// Prepared, and recorded twice.
fn run<O: Record>(bench: &Bench, op: &O, buffers: O::Buffers<'_>) -> Call {
    let call = bench.gpu.prepare_blocking(op, buffers).expect("it is sound");
    bench.submit(|encoder| call.encode(encoder));
    call
}

fn bytes(bench: &Bench, buffer: &wgpu::Buffer, like: &Array) -> Vec<u8> {
    bench.read::<u8>(buffer)[..like.as_bytes().len()].to_vec()
}

fn benches() -> [(Bench, &'static str); 2] {
    let gpu: Gpu = common::gpu();
    let windows = small_windows(&gpu);
    [(Bench { gpu }, "as it chooses"), (Bench { gpu: windows }, "in small windows")]
}

fn batches() -> Vec<(Data, Vec<bool>)> {
    let mut batches = Vec::new();
    // More than a block of rows, whole words, rows that share u32s.
    for (rows, classes, dtype) in
        [(4100, 3, Dtype::F32), (30, 64, Dtype::F32), (21, 37, Dtype::F16), (9, 131, Dtype::Bf16)]
    {
        let data = Data::new(rows, classes, dtype);
        let mask = Kept::Some.mask(rows);
        batches.push((data.poisoned(&mask), mask));
    }
    batches
}

#[test]
fn index_targets() {
    for (bench, which) in benches() {
        let device = Device::with_gpu(bench.gpu.clone());
        for (data, mask) in batches() {
            for ignored in [Some(-100), None] {
                let op = CrossEntropy::new().with_ignore_index(ignored).with_gradient();
                let input = CrossEntropyInput::new(data.matrix(&data.logits), &data.targets)
                    .with_mask(&mask);
                let want = device.run(&op, input).expect("sound");
                let logits = matrix_buffer(&bench, &data.logits);
                let narrow = data.targets.iter().map(|&y| i32::try_from(y).unwrap_or(i32::MAX));
                let narrow: Vec<i32> = narrow.collect();
                let (narrow, mask) = (bench.buffer(&narrow), mask_buffer(&bench, &mask));
                let targets = TargetsBuffer::I32(VectorBuffer::new(&narrow));
                let buffers = CrossEntropyBuffers::new(view(&logits, &data), targets)
                    .with_dlogits(OutputBuffer::InPlace)
                    .with_mask(mask_of(&mask));
                let call = run(&bench, &op, buffers);
                let summary = call.read_summary_blocking().expect("they are classes");
                assert_eq!(u64::from(summary.kept_rows), want.kept_rows, "{which}");
                let dlogits = want.dlogits.expect("asked for");
                assert_eq!(bytes(&bench, &logits, &dlogits), dlogits.as_bytes(), "{which}");
                let stats = call.read_stats_blocking().expect("it has some");
                let lse: Vec<f32> = stats.iter().map(|row| row[1]).collect();
                assert_eq!(Array::F32(lse), want.lse, "{which}");
            }
        }
    }
}

#[test]
fn a_target_that_stands_for_the_mask_is_no_class() {
    let bench = Bench { gpu: common::gpu() };
    let logits = bench.buffer(&[0.0f32; 6]);
    let targets = bench.buffer(&[1i64, i64::MIN, i64::MIN]);
    let mask = mask_buffer(&bench, &[true, false, true]);
    let buffers = CrossEntropyBuffers::new(
        MatrixBuffer::new(&logits, 3, 2),
        TargetsBuffer::I64(VectorBuffer::new(&targets)),
    )
    .with_mask(mask_of(&mask));
    let op = CrossEntropy::new().with_ignore_index(None);
    let error = run(&bench, &op, buffers).read_summary_blocking().expect_err("row 2 counts");
    assert!(matches!(error, Error::TargetOutOfRange { row: 2, classes: 2, .. }), "{error}");
}

#[test]
fn probability_targets_with_metrics_and_their_gradient() {
    for (bench, which) in benches() {
        let device = Device::with_gpu(bench.gpu.clone());
        for (data, mask) in batches() {
            let op = CrossEntropy::new().with_gradient().with_target_gradient().with_metrics();
            let probs = data.matrix(&data.probs);
            let input = CrossEntropyInput::new(data.matrix(&data.logits), probs).with_mask(&mask);
            let want = device.run(&op, input).expect("sound");
            let (logits, probs) =
                (matrix_buffer(&bench, &data.logits), matrix_buffer(&bench, &data.probs));
            let (dtargets, mask) =
                (matrix_buffer(&bench, &data.logits), mask_buffer(&bench, &mask));
            let targets = TargetsBuffer::Probs(view(&probs, &data));
            let buffers = CrossEntropyBuffers::new(view(&logits, &data), targets)
                .with_dlogits(OutputBuffer::InPlace)
                .with_dtargets(view(&dtargets, &data))
                .with_mask(mask_of(&mask));
            let call = run(&bench, &op, buffers);
            let metrics = call.read_metrics_blocking().expect("asked for");
            let of_host = want.metrics.expect("asked for");
            assert_eq!(metrics.argmax, of_host.argmax, "{which}");
            assert_eq!(metrics.accuracy.to_bits(), of_host.accuracy.to_bits(), "{which}");
            let [dlogits, dq] = [want.dlogits, want.dtargets].map(|it| it.expect("asked for"));
            assert_eq!(bytes(&bench, &logits, &dlogits), dlogits.as_bytes(), "{which}");
            assert_eq!(bytes(&bench, &dtargets, &dq), dq.as_bytes(), "{which}");
        }
    }
}

#[test]
fn divergences_and_transforms() {
    for (bench, which) in benches() {
        let device = Device::with_gpu(bench.gpu.clone());
        for (data, mask) in batches() {
            let op = JsDivergence::new().with_gradient();
            let (teacher, student) = (data.matrix(&data.log_probs), data.matrix(&data.logits));
            let want = device.run(&op, DivergenceInput::new(teacher, student).with_mask(&mask));
            let want = want.expect("sound").dstudent.expect("asked for");
            let transformed = device.run(&Softmax, LogitsInput::new(student).with_mask(&mask));
            let transformed = transformed.expect("sound");

            let (teacher, student) =
                (matrix_buffer(&bench, &data.log_probs), matrix_buffer(&bench, &data.logits));
            let mask = mask_buffer(&bench, &mask);
            let buffers = DivergenceBuffers::new(view(&teacher, &data), view(&student, &data))
                .with_dstudent(OutputBuffer::InPlace)
                .with_mask(mask_of(&mask));
            run(&bench, &op, buffers);
            assert_eq!(bytes(&bench, &student, &want), want.as_bytes(), "{which}");

            let logits = matrix_buffer(&bench, &data.logits);
            let buffers = TransformBuffers::new(view(&logits, &data), OutputBuffer::InPlace)
                .with_mask(mask_of(&mask));
            run(&bench, &Softmax, buffers);
            assert_eq!(bytes(&bench, &logits, &transformed), transformed.as_bytes(), "{which}");
        }
    }
}

/// By a mask, by labels, and by both: the mean's divisor is the device's own count.
#[test]
fn elements() {
    for (bench, which) in benches() {
        for (rows, classes, dtype) in [
            (700, 3, Dtype::F32),
            (30, 64, Dtype::F32),
            (21, 37, Dtype::F16),
            (1, 5001, Dtype::Bf16),
        ] {
            let sound = Data::new(rows, classes, dtype);
            let mask = Kept::Some.mask(rows * classes);
            let mut data = sound.poisoned(&mask);
            let ignored = |i: usize| i % 11 == 4;
            let labels = data.labels.to_f64().into_iter().enumerate();
            let labels: Vec<f32> =
                labels.map(|(i, y)| if ignored(i) { 255.0 } else { y as f32 }).collect();
            data.labels = common::cases::stored(&labels, dtype);
            let own: Vec<bool> = (0..mask.len()).map(|i| mask[i] || ignored(i)).collect();
            for (by_mask, by_label) in [(true, true), (false, true), (true, false)] {
                // What is left out in one way alone is sound in the other.
                let data = if by_mask && by_label { &data } else { &sound };
                let labelled = common::cases::stored(&labels, dtype);
                let labels = match (by_mask, by_label) {
                    (false, true) => {
                        let values = sound.labels.to_f64().into_iter().enumerate();
                        let values = values.map(|(i, y)| if ignored(i) { 255.0 } else { y as f32 });
                        common::cases::stored(&values.collect::<Vec<_>>(), dtype)
                    }
                    (true, true) => labelled,
                    _ => sound.labels.clone(),
                };
                let op = BinaryCrossEntropy::new().with_gradient();
                let op = if by_label { op.with_ignore_index(255.0) } else { op };
                let (x, y) =
                    (data.matrix(&data.logits), Matrix::new(labels.values(), rows, classes));
                let mut input = ElementwiseInput::new(x, y.expect("its shape"));
                input.mask = by_mask.then_some(&own[..]);
                let want = Device::cpu().run(&op, input).expect("sound");
                let counts = |i: usize| (!by_mask || own[i]) && !(by_label && ignored(i));
                let kept = (0..own.len()).filter(|&i| counts(i)).count();

                let (x, y) = (matrix_buffer(&bench, &data.logits), matrix_buffer(&bench, &labels));
                let mask = mask_buffer(&bench, &own);
                let mut buffers = ElementwiseBuffers::new(view(&x, data), view(&y, data))
                    .with_dinput(OutputBuffer::InPlace);
                if by_mask {
                    buffers = buffers.with_mask(mask_of(&mask));
                }
                let call = run(&bench, &op, buffers);
                let summary = call.read_summary_blocking().expect("it has one");
                let name = format!("{which}, {rows} x {classes} {dtype}, {by_mask} {by_label}");
                assert_eq!(summary.total_weight, kept as f32, "{name}");
                let loss = want.loss.reduced().expect("a mean");
                assert!((f64::from(summary.loss) - loss).abs() < 1e-5 * loss, "{name}");
                let got = bytes(&bench, &x, &data.logits);
                let dinput = want.dinput.expect("asked for");
                let zeros = |bytes: &[u8], i: usize| {
                    bytes[i * dtype.size()..(i + 1) * dtype.size()].iter().all(|&byte| byte == 0)
                };
                for i in 0..own.len() {
                    let expected = counts(i) || zeros(&got, i) && zeros(dinput.as_bytes(), i);
                    assert!(expected, "{name}: element {i} does not count");
                }
                assert!((0..own.len()).any(|i| !zeros(&got, i)), "{name}: no gradient");
            }
        }
    }
}

/// With a normalizer nothing is counted; with losses one by one neither.
#[test]
fn elements_that_need_not_be_counted() {
    let bench = Bench { gpu: common::gpu() };
    let x = bench.buffer(&[0.0f32, f32::NAN, 0.0, 0.0]);
    let y = bench.buffer(&[1.0f32, 0.0, 0.0, 1.0]);
    let mask = mask_buffer(&bench, &[true, false, true, false]);
    let matrix = |buffer| MatrixBuffer::new(buffer, 1, 4);
    let op = BinaryCrossEntropy::new().with_normalizer(8.0);
    let buffers = ElementwiseBuffers::new(matrix(&x), matrix(&y)).with_mask(mask_of(&mask));
    let summary = run(&bench, &op, buffers).read_summary_blocking().expect("it has one");
    assert!((summary.loss - 2.0 * std::f32::consts::LN_2 / 8.0).abs() < 1e-7);

    let losses = bench.buffer(&[7.0f32; 4]);
    let op = BinaryCrossEntropy::new().with_reduction(Reduction::None);
    let buffers = ElementwiseBuffers::new(matrix(&x), matrix(&y))
        .with_mask(mask_of(&mask))
        .with_losses(OutputBuffer::Separate(matrix(&losses)));
    run(&bench, &op, buffers);
    let losses: Vec<f32> = bench.read(&losses);
    assert!((losses[0] - std::f32::consts::LN_2).abs() < 1e-6 && losses[1] == 0.0);
}

#[test]
fn a_mask_that_is_too_short() {
    let bench = Bench { gpu: common::gpu() };
    let (logits, mask) = (bench.buffer(&[0.0f32; 12]), bench.buffer(&[1u8; 4]));
    let buffers = TransformBuffers::new(MatrixBuffer::new(&logits, 6, 2), OutputBuffer::InPlace)
        .with_mask(MaskBuffer::new(&mask));
    let error = bench.gpu.prepare_blocking(&Softmax, buffers).expect_err("six rows");
    assert!(matches!(error, Error::InvalidBuffer { name: "mask", .. }), "{error}");
}
