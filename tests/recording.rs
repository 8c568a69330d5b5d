//! Recording into an encoder of one's own, on a device of one's own: offsets, strides, both kinds
//! of output, targets that only the GPU sees.

mod common;

use common::bench::{Bench, assert_close, case, embedded, extract};
use common::cases::{Case, Family};
use common::reference;
use surprisal::gpu::{
    BackwardBuffers, CrossEntropyBuffers, MatrixBuffer, OutputBuffer, RowBackwardBuffers,
    RowResultBuffers, TargetsBuffer, TransformBuffers, UpstreamBuffer, VectorBuffer,
};
use surprisal::{
    Array, CrossEntropy, CrossEntropyInput, Error, LogSumExp, LogSumExpBackward, Matrix, Reduction,
    Softmax, SoftmaxBackward, Upstream,
};

fn dlogits(case: &Case, op: &CrossEntropy, upstream: Upstream<'_>) -> Vec<f64> {
    let input = CrossEntropyInput::new(case.matrix(), &case.targets).with_upstream(upstream);
    let output = reference::cross_entropy(op, &input).expect("the case is sound");
    output.dlogits.as_ref().map(Array::to_f64).expect("asked for")
}

#[test]
fn offsets_and_strides_and_nothing_written_beside() {
    let bench = Bench::new();
    // Offset in elements and stride: word by word, four at a time, and neither.
    for (rows, classes, offset, stride) in
        [(5, 10, 3, 13), (9, 64, 4, 68), (9, 64, 5, 64), (3, 1031, 1, 1031), (40, 3, 0, 4)]
    {
        let case = case(rows, classes);
        let op = CrossEntropy::new().with_gradient();
        let logits = bench.buffer(&embedded(&case, offset, stride));
        let output = bench.buffer(&vec![7.0f32; 2 * offset + rows * stride + 9]);
        let mut padded = vec![-9i64];
        padded.extend(&case.targets);
        let targets = bench.buffer(&padded);
        let matrix = |buffer, offset: usize| {
            MatrixBuffer::new(buffer, rows as u64, classes as u64)
                .with_offset(4 * offset as u64)
                .with_row_stride(stride as u64)
        };
        let buffers = CrossEntropyBuffers::new(
            matrix(&logits, offset),
            TargetsBuffer::I64(VectorBuffer::new(&targets).with_offset(8)),
        );
        let separate = OutputBuffer::Separate(matrix(&output, 2 * offset));
        let call = bench.gpu.prepare_blocking(&op, buffers.with_dlogits(separate));
        let call = call.expect("the buffers are sound");
        bench.submit(|encoder| call.encode(encoder));

        let want = dlogits(&case, &op, Upstream::default());
        let got: Vec<f32> = bench.read(&output);
        assert_close(&extract(&got, &case, 2 * offset, stride), &want);
        let mut beside = got;
        for row in 0..rows {
            beside[2 * offset + row * stride..][..classes].fill(7.0);
        }
        assert!(beside.iter().all(|&x| x == 7.0), "gaps were written to");
        assert_eq!(bench.read::<f32>(&logits), embedded(&case, offset, stride), "input written");

        // In place: the same bits.
        let call = bench.gpu.prepare_blocking(&op, buffers.with_dlogits(OutputBuffer::InPlace));
        bench.submit(|encoder| call.expect("the buffers are sound").encode(encoder));
        let in_place: Vec<f32> = bench.read(&logits);
        let separate: Vec<f32> = bench.read(&output);
        assert_eq!(
            extract(&in_place, &case, offset, stride),
            extract(&separate, &case, 2 * offset, stride)
        );
    }
}

#[test]
fn a_prepared_call_reads_what_the_buffers_hold() {
    let bench = Bench::new();
    let (first, second) = (case(6, 12), Family::Confident.case(6, 12, 5));
    let logits = bench.buffer(&first.logits);
    let targets32: Vec<i32> = first.targets.iter().map(|&y| y as i32).collect();
    let targets = bench.buffer(&targets32);
    let buffers = CrossEntropyBuffers::new(
        MatrixBuffer::new(&logits, 6, 12),
        TargetsBuffer::I32(VectorBuffer::new(&targets)),
    );
    let op = CrossEntropy::new();
    let call = bench.gpu.prepare_blocking(&op, buffers).expect("the buffers are sound");
    let loss = |case: &Case| {
        let input = CrossEntropyInput::new(case.matrix(), &case.targets);
        reference::cross_entropy(&op, &input).expect("sound").loss.reduced().expect("a mean")
    };
    bench.submit(|encoder| call.encode(encoder));
    let summary = call.read_summary_blocking().expect("the targets are sound");
    assert_close(&[summary.loss], &[loss(&first)]);
    assert_eq!(summary.kept_rows, 6);

    // The next step of a training loop: other contents, the same call.
    bench.gpu.queue().write_buffer(&logits, 0, bytemuck::cast_slice(&second.logits));
    let targets32: Vec<i32> = second.targets.iter().map(|&y| y as i32).collect();
    bench.gpu.queue().write_buffer(&targets, 0, bytemuck::cast_slice(&targets32));
    bench.submit(|encoder| call.encode(encoder));
    let summary = call.read_summary_blocking().expect("the targets are sound");
    assert_close(&[summary.loss], &[loss(&second)]);
    let stats = call.read_stats_blocking().expect("it has row results");
    assert_eq!(stats.len(), 6);
}

#[test]
fn an_upstream_gradient_for_each_row() {
    let bench = Bench::new();
    let case = case(7, 33);
    let dloss: Vec<f32> = (0..7u8).map(|i| f32::from(i) - 3.0).collect();
    let (logits, targets) = (bench.buffer(&case.logits), bench.buffer(&case.targets));
    let mut padded = vec![99.0f32; 3];
    padded.extend(&dloss);
    let upstream = bench.buffer(&padded);
    let op = CrossEntropy::new().with_reduction(Reduction::None).with_gradient();
    let buffers = CrossEntropyBuffers::new(
        MatrixBuffer::new(&logits, 7, 33),
        TargetsBuffer::I64(VectorBuffer::new(&targets)),
    )
    .with_upstream(UpstreamBuffer::Rows(VectorBuffer::new(&upstream).with_offset(12)))
    .with_dlogits(OutputBuffer::InPlace);
    let call = bench.gpu.prepare_blocking(&op, buffers).expect("the buffers are sound");
    bench.submit(|encoder| call.encode(encoder));
    let want = dlogits(&case, &op, Upstream::Each((&dloss).into()));
    assert_close(&bench.read::<f32>(&logits), &want);
}

#[test]
fn bad_targets_that_only_the_gpu_sees() {
    let bench = Bench::new();
    for (bad, classes) in [(10i64, 10usize), (-1, 10), (1 << 32, 10), (i64::MIN, 40), (40, 40)] {
        let mut case = case(5, classes);
        let (logits, output) = (bench.buffer(&case.logits), bench.buffer(&case.logits));
        case.targets = vec![1, -100, bad, 2, bad];
        let targets = bench.buffer(&case.targets);
        let op = CrossEntropy::new().with_reduction(Reduction::Sum).with_gradient();
        let buffers = CrossEntropyBuffers::new(
            MatrixBuffer::new(&logits, 5, classes as u64),
            TargetsBuffer::I64(VectorBuffer::new(&targets)),
        )
        .with_dlogits(OutputBuffer::Separate(MatrixBuffer::new(
            &output,
            5,
            classes as u64,
        )));
        let call = bench.gpu.prepare_blocking(&op, buffers).expect("nobody has looked yet");
        bench.submit(|encoder| call.encode(encoder));

        let error = call.read_summary_blocking().expect_err("the flag is raised");
        let classes = classes as u64;
        assert_eq!(error, Error::TargetOutOfRange { row: 2, value: bad, classes });
        let stats = call.read_stats_blocking().expect("they can be read all the same");
        let is_nan: Vec<bool> = stats.iter().map(|[loss, _]| loss.is_nan()).collect();
        assert_eq!(is_nan, [false, false, true, false, true]);
        let got: Vec<f32> = bench.read(&output);
        for (row, values) in got.chunks(classes as usize).enumerate() {
            let nan = values.iter().filter(|x| x.is_nan()).count();
            assert_eq!(nan, if is_nan[row] { values.len() } else { 0 }, "row {row}");
        }
        assert!(got[classes as usize..2 * classes as usize].iter().all(|&x| x == 0.0));
    }
}

#[test]
fn logsumexp_and_the_backwards() {
    let bench = Bench::new();
    let case = case(4, 50);
    let matrix = |buffer| MatrixBuffer::new(buffer, 4, 50);
    let logits = bench.buffer(&case.logits);
    let call = bench.gpu.prepare_blocking(&LogSumExp, RowResultBuffers::new(matrix(&logits)));
    let call = call.expect("the buffers are sound");
    bench.submit(|encoder| call.encode(encoder));
    let lse: Vec<f32> =
        call.read_stats_blocking().expect("it has them").iter().map(|s| s[1]).collect();
    assert_close(&lse, &reference::logsumexp(case.matrix()));

    let dlse = [1.0f32, -2.0, 0.5, 0.0];
    let (upstream, output) = (bench.buffer(&dlse), bench.buffer(&case.logits));
    let buffers = RowBackwardBuffers::new(
        matrix(&logits),
        VectorBuffer::new(&upstream),
        OutputBuffer::Separate(matrix(&output)),
    );
    let call = bench.gpu.prepare_blocking(&LogSumExpBackward, buffers);
    bench.submit(|encoder| call.expect("the buffers are sound").encode(encoder));
    let want =
        reference::logsumexp_backward(case.matrix(), &dlse.map(f64::from)).expect("same shapes");
    assert_close(&bench.read::<f32>(&output), &want);

    // Softmax and its backward in one encoder, the second reading what the first wrote.
    let probs = bench.buffer(&case.logits);
    let dprobs = bench.buffer(&case.logits);
    let buffers = TransformBuffers::new(matrix(&probs), OutputBuffer::InPlace);
    let forward = bench.gpu.prepare_blocking(&Softmax, buffers).expect("sound");
    let buffers = BackwardBuffers::new(
        matrix(&probs),
        matrix(&dprobs),
        OutputBuffer::Separate(matrix(&output)),
    );
    let backward = bench.gpu.prepare_blocking(&SoftmaxBackward, buffers).expect("sound");
    bench.submit(|encoder| {
        forward.encode(encoder);
        backward.encode(encoder);
    });
    let p = reference::softmax(case.matrix());
    let p = Matrix::new(&p, 4, 50).expect("its shape");
    assert_close(
        &bench.read::<f32>(&output),
        &reference::softmax_backward(p, case.matrix()).expect("same shapes"),
    );
}

#[test]
fn an_empty_batch_can_be_recorded() {
    let bench = Bench::new();
    let (logits, targets) = (bench.buffer(&[0.0f32; 4]), bench.buffer(&[0i32; 4]));
    let buffers = CrossEntropyBuffers::new(
        MatrixBuffer::new(&logits, 0, 4),
        TargetsBuffer::I32(VectorBuffer::new(&targets)),
    );
    let call = bench.gpu.prepare_blocking(&CrossEntropy::new(), buffers).expect("it is sound");
    bench.submit(|encoder| call.encode(encoder));
    let summary = call.read_summary_blocking().expect("no target is bad");
    assert!(summary.loss.is_nan() && summary.kept_rows == 0);
    assert!(call.read_stats_blocking().expect("they are there").is_empty());
}
