//! One test for each way to fail: the right variant, one line, nothing written, no panic.

mod common;

use surprisal::gpu::{
    CrossEntropyBuffers, Fault, Gpu, MatrixBuffer, OutputBuffer, Sources, TargetsBuffer,
    TransformBuffers, UpstreamBuffer, VectorBuffer,
};
use surprisal::{
    AdapterChoice, CrossEntropy, CrossEntropyInput, Device, Error, LogSumExp, LogSumExpBackward,
    LogSumExpBackwardInput, Matrix, Reduction, Softmax, SoftmaxBackward, SoftmaxBackwardInput,
    Upstream, wgpu,
};

/// What every message keeps to.
fn assert_message(error: &Error, parts: &[&str]) {
    let text = error.to_string();
    assert!(!text.contains('\n'), "one line: {text}");
    for part in parts {
        assert!(text.contains(part), "`{part}` is missing: {text}");
    }
}

fn two_by_three() -> Matrix<'static> {
    Matrix::new(&[0.0f32, 1.0, 2.0, 3.0, 4.0, 5.0], 2, 3).expect("its shape")
}

#[test]
fn shapes_that_disagree() {
    let error = Matrix::new(&[0.0f32; 5], 2, 3).expect_err("six are wanted");
    assert!(matches!(error, Error::ShapeMismatch { .. }));
    assert_message(&error, &["[2, 3]", "5"]);
    for device in common::devices() {
        let input = CrossEntropyInput::new(two_by_three(), &[0i64, 1, 2]);
        let error = device.run(&CrossEntropy::new(), input).expect_err("three targets");
        assert!(matches!(error, Error::ShapeMismatch { what: "targets", .. }));
        assert_message(&error, &["[2, 3]", "[2]", "[3]"]);

        let op = CrossEntropy::new().with_reduction(Reduction::None);
        let input = CrossEntropyInput::new(two_by_three(), &[0i64, 1])
            .with_upstream(Upstream::Each((&[1.0f32]).into()));
        let error = device.run(&op, input).expect_err("one upstream for two rows");
        assert!(matches!(error, Error::ShapeMismatch { what: "upstream", .. }));

        let dprobs = Matrix::new(&[0.0f32; 6], 3, 2).expect("its shape");
        let input = SoftmaxBackwardInput::new(two_by_three(), dprobs);
        let error = device.run(&SoftmaxBackward, input).expect_err("transposed");
        assert_message(&error, &["[2, 3]", "[3, 2]"]);

        let input = LogSumExpBackwardInput::new(two_by_three(), &[1.0f32]);
        let error = device.run(&LogSumExpBackward, input).expect_err("one for two rows");
        assert!(matches!(error, Error::ShapeMismatch { what: "dlse", .. }));
    }
}

#[test]
fn targets_out_of_range() {
    for device in common::devices() {
        for bad in [3i64, -1, i64::MAX, i64::MIN, 1 << 32] {
            let targets = [-100, bad];
            let input = CrossEntropyInput::new(two_by_three(), &targets);
            let error = device.run(&CrossEntropy::new(), input).expect_err("it is no class");
            assert_eq!(error, Error::TargetOutOfRange { row: 1, value: bad, classes: 3 });
            assert_message(&error, &[&bad.to_string(), "row 1", "0..3"]);
        }
    }
}

#[test]
fn inputs_that_do_not_go_together() {
    for device in common::devices() {
        let input = CrossEntropyInput::new(two_by_three(), &[0i64, 1])
            .with_upstream(Upstream::Each((&[1.0f32, 2.0]).into()));
        let error = device.run(&CrossEntropy::new(), input).expect_err("a mean has one loss");
        assert!(matches!(error, Error::InvalidInput { what: "upstream", .. }));

        let dprobs = Matrix::new(&[0.0f64; 6], 2, 3).expect("its shape");
        let input = SoftmaxBackwardInput::new(two_by_three(), dprobs);
        let error = device.run(&SoftmaxBackward, input).expect_err("two dtypes");
        assert!(matches!(error, Error::InvalidInput { .. }));
        assert_message(&error, &["f32", "f64"]);
    }
    let error = Matrix::new(&[0.0f32; 0], 2, 0).expect_err("rows without classes");
    assert!(matches!(error, Error::InvalidInput { what: "matrix", .. }));
}

#[test]
fn a_batch_that_is_too_large() {
    let gpu = common::gpu();
    let mut caps = gpu.caps().clone();
    caps.max_buffer_bytes = 16;
    let device = Device::with_gpu(gpu.with_caps(caps));
    let error = device.run(&Softmax, two_by_three()).expect_err("24 bytes do not fit into 16");
    assert_eq!(error, Error::TooLarge { what: "a matrix", needed: 24, limit: 16 });

    // The results of the rows need a buffer too.
    let mut caps = gpu.caps().clone();
    caps.max_buffer_bytes = 20;
    let device = Device::with_gpu(gpu.with_caps(caps));
    let three = Matrix::new(&[0.0f32; 3], 3, 1).expect("its shape");
    let error = device.run(&LogSumExp, three).expect_err("24 bytes do not fit into 20");
    let what = "the buffer of row results";
    assert_eq!(error, Error::TooLarge { what, needed: 24, limit: 20 });

    let mut caps = gpu.caps().clone();
    caps.max_binding_bytes = 256 + caps.storage_alignment;
    let device = Device::with_gpu(gpu.with_caps(caps));
    let row = vec![0.0f32; 65];
    let error = device.run(&Softmax, Matrix::new(&row, 1, 65).expect("a row"));
    assert_eq!(error, Err(Error::TooLarge { what: "a row", needed: 260, limit: 256 }));
}

#[test]
fn no_such_adapter() {
    for choice in ["99", "no such card", "gl:no such card"] {
        let choice: AdapterChoice = choice.parse().expect("an adapter is named");
        let error = Device::gpu_with(&choice).expect_err("there is none");
        assert!(matches!(error, Error::NoAdapter { .. }), "{error}");
        assert_message(&error, &["found"]);
    }
}

#[test]
fn a_device_with_too_few_bindings() {
    let gpu = common::gpu();
    let mut caps = gpu.caps().clone();
    caps.max_storage_bindings = 1;
    let device = Device::with_gpu(gpu.with_caps(caps));
    let input = CrossEntropyInput::new(two_by_three(), &[0i64, 1]);
    let error = device.run(&CrossEntropy::new(), input).expect_err("it needs more");
    assert!(matches!(error, Error::DeviceTooSmall { .. }), "{error}");
}

fn buffer(gpu: &Gpu, size: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
    gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size,
        usage,
        mapped_at_creation: false,
    })
}

#[test]
fn buffers_that_cannot_be_used() {
    let gpu = common::gpu();
    let storage = buffer(&gpu, 24, wgpu::BufferUsages::STORAGE);
    let other = buffer(&gpu, 24, wgpu::BufferUsages::STORAGE);
    let copy = buffer(&gpu, 24, wgpu::BufferUsages::COPY_DST);
    let sound = MatrixBuffer::new(&storage, 2, 3);
    let softmax = |logits, output| {
        let call = gpu.prepare_blocking(&Softmax, TransformBuffers::new(logits, output));
        call.map(|_| ()).expect_err("it cannot be used")
    };
    let cases = [
        (softmax(MatrixBuffer::new(&storage, 3, 3), OutputBuffer::InPlace), "24 bytes"),
        (softmax(sound.with_offset(2), OutputBuffer::InPlace), "multiple of 4"),
        (softmax(sound.with_offset(4), OutputBuffer::InPlace), "28"),
        (softmax(sound.with_row_stride(2), OutputBuffer::InPlace), "row stride 2"),
        (
            softmax(
                MatrixBuffer::new(&storage, 1, 3).with_row_stride(u64::MAX),
                OutputBuffer::InPlace,
            ),
            "larger than any",
        ),
        (softmax(sound.with_row_stride(u64::MAX), OutputBuffer::InPlace), "larger than any"),
        (softmax(MatrixBuffer::new(&storage, 2, 0), OutputBuffer::InPlace), "0 classes"),
        (softmax(MatrixBuffer::new(&copy, 2, 3), OutputBuffer::InPlace), "STORAGE"),
        (softmax(sound, OutputBuffer::Separate(sound)), "also bound"),
    ];
    for (error, part) in &cases {
        assert!(matches!(error, Error::InvalidBuffer { .. }), "{error}");
        assert_message(error, &[part]);
    }
    let error = softmax(sound, OutputBuffer::Separate(MatrixBuffer::new(&other, 3, 2)));
    assert!(matches!(error, Error::ShapeMismatch { what: "probs", .. }));
}

#[test]
fn a_gradient_without_a_place_and_a_place_without_a_gradient() {
    let gpu = common::gpu();
    let logits = buffer(&gpu, 24, wgpu::BufferUsages::STORAGE);
    let targets = buffer(&gpu, 8, wgpu::BufferUsages::STORAGE);
    let vector = VectorBuffer::new(&targets);
    let buffers =
        CrossEntropyBuffers::new(MatrixBuffer::new(&logits, 2, 3), TargetsBuffer::I32(vector));
    let (with, without) = (CrossEntropy::new().with_gradient(), CrossEntropy::new());
    let in_place = buffers.with_dlogits(OutputBuffer::InPlace);
    for error in [
        gpu.prepare_blocking(&with, buffers).map(|_| ()),
        gpu.prepare_blocking(&without, in_place).map(|_| ()),
    ] {
        assert!(matches!(error, Err(Error::InvalidInput { what: "dlogits", .. })), "{error:?}");
    }
    let by_row = buffers.with_upstream(UpstreamBuffer::Rows(VectorBuffer::new(&targets)));
    let error = gpu.prepare_blocking(&without, by_row).map(|_| ());
    assert!(matches!(error, Err(Error::InvalidInput { what: "upstream", .. })), "{error:?}");

    let call = gpu.prepare_blocking(
        &Softmax,
        TransformBuffers::new(MatrixBuffer::new(&logits, 2, 3), OutputBuffer::InPlace),
    );
    let call = call.expect("it is sound");
    assert!(matches!(call.read_summary_blocking(), Err(Error::InvalidInput { .. })));
    assert!(matches!(call.read_stats_blocking(), Err(Error::InvalidInput { .. })));
}

#[test]
fn a_lost_device() {
    let gpu = common::gpu();
    let device = Device::with_gpu(gpu.clone());
    device.run(&Softmax, two_by_three()).expect("it works at first");
    gpu.device().destroy();
    for _ in 0..3 {
        let error = device.run(&Softmax, two_by_three()).expect_err("it is gone");
        assert!(matches!(error, Error::DeviceLost { .. }), "{error}");
        assert_message(&error, &["lost"]);
    }
}

#[test]
fn a_new_device_after_one_was_lost() {
    let op = CrossEntropy::new().with_gradient();
    let input = CrossEntropyInput::new(two_by_three(), &[0i64, 1]);
    let sound = Device::with_gpu(common::gpu()).run(&op, input).expect("it works");
    for k in [0, 4, 12] {
        let lost = Device::with_gpu(common::gpu().with_fault_at(k, Fault::DeviceLost));
        lost.run(&op, input).expect_err("it is lost on the way");
        let new = Device::with_gpu(common::gpu());
        assert_eq!(new.run(&op, input).as_ref(), Ok(&sound), "after call {k}");
        assert!(matches!(lost.run(&op, input), Err(Error::DeviceLost { .. })), "it stays lost");
        assert_eq!(new.run(&op, input).as_ref(), Ok(&sound), "beside a lost one");
    }
}

#[test]
fn a_device_lost_at_any_call() {
    let op = CrossEntropy::new().with_gradient();
    let input = CrossEntropyInput::new(two_by_three(), &[0i64, 1]);
    for k in 0.. {
        let device = Device::with_gpu(common::gpu().with_fault_at(k, Fault::DeviceLost));
        let Err(error) = device.run(&op, input) else {
            assert!(k > 10, "only {k} calls; is the seam still where it was?");
            return;
        };
        assert!(matches!(error, Error::DeviceLost { .. }), "call {k}: {error}");
    }
}

#[test]
fn out_of_memory_at_any_allocation() {
    let gpu = common::gpu();
    let op = CrossEntropy::new().with_gradient();
    let input = CrossEntropyInput::new(two_by_three(), &[0i64, 1]);
    let sound = Device::with_gpu(gpu.clone()).run(&op, input).expect("it works");
    for k in 0.. {
        let device = Device::with_gpu(gpu.with_fault_at(k, Fault::OutOfMemory));
        match device.run(&op, input) {
            Err(error) => {
                assert!(matches!(error, Error::OutOfMemory { .. }), "call {k}: {error}");
                // The fault happens once: the same device works again.
                assert_eq!(device.run(&op, input).as_ref(), Ok(&sound));
            }
            Ok(output) => {
                assert_eq!(output, sound);
                assert!(k > 10, "only {k} calls can fail; is the seam still where it was?");
                return;
            }
        }
    }
}

#[test]
fn a_shader_that_does_not_compile() {
    let broken = "// broken\n\nfn chained(x: f32) -> f32 { return oops; }\n";
    let sources = Sources::default().replace("chain_none", broken);
    let device = Device::with_gpu(common::gpu().with_sources(sources));
    let input = CrossEntropyInput::new(two_by_three(), &[0i64, 1]);
    let error = device.run(&CrossEntropy::new(), input).expect_err("it is broken");
    assert!(matches!(error, Error::Shader { .. }), "{error}");
    assert_message(&error, &["oops", "option/chain.wgsl:6"]);
}

#[test]
fn a_call_that_wgpu_refuses() {
    // Claiming that bindings may start anywhere, which no device allows.
    let gpu = common::gpu();
    let mut caps = gpu.caps().clone();
    caps.storage_alignment = 4;
    caps.max_binding_bytes = 64;
    let rows = vec![0.0f32; 30];
    let device = Device::with_gpu(gpu.with_caps(caps));
    let error = device.run(&Softmax, Matrix::new(&rows, 6, 5).expect("its shape"));
    let error = error.expect_err("the second window starts at byte 60");
    assert!(matches!(error, Error::Gpu { .. }), "{error}");
    assert_message(&error, &["wgpu", "60"]);
}
