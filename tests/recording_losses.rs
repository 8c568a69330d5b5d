//! Recording the rest of the loss family: both kinds of output, outputs aside, offsets and strides,
//! and what is refused.

mod common;

use common::bench::{Bench, assert_close, case, embedded, extract};
use common::cases::Case;
use common::losses::{labels, upstream_values};
use common::reference;
use surprisal::gpu::{
    Call, CrossEntropyBuffers, DivergenceBuffers, ElementwiseBuffers, MatrixBuffer, OutputBuffer,
    Record, RowBackwardBuffers, RowResultBuffers, TargetsBuffer, TransformBuffers, UpstreamBuffer,
    VectorBuffer,
};
use surprisal::{
    Array, BinaryCrossEntropy, CrossEntropy, CrossEntropyInput, Device, DivergenceInput,
    ElementwiseInput, Entropy, EntropyBackward, Error, Focal, JsDivergence, KlDivergence, Loss,
    Matrix, Reduction, Surprisal, Unit, Upstream,
};

fn each(loss: &Loss) -> Vec<f64> {
    loss.each().map(Array::to_f64).expect("not reduced")
}

fn values(array: Option<&Array>) -> Vec<f64> {
    array.map(Array::to_f64).expect("asked for")
}

fn matrix<'a>(case: &Case, values: &'a [f32]) -> Matrix<'a> {
    Matrix::new(values, case.rows, case.classes).expect("its shape")
}

fn run<O: Record>(bench: &Bench, op: &O, buffers: O::Buffers<'_>) -> Call {
    let call = bench.gpu.prepare_blocking(op, buffers).expect("it can be prepared");
    bench.submit(|encoder| call.encode(encoder));
    call
}

fn losses(call: &Call) -> Vec<f32> {
    call.read_stats_blocking().expect("there are some").iter().map(|row| row[0]).collect()
}

const SHAPES: [(usize, usize, usize, usize); 4] =
    [(5, 10, 3, 13), (9, 64, 4, 68), (3, 1031, 1, 1031), (40, 3, 0, 4)];

#[test]
fn probability_targets_with_both_gradients() {
    let bench = Bench::new();
    for (rows, classes, offset, stride) in SHAPES {
        let case = case(rows, classes);
        let q = labels(&case, 71);
        let op = CrossEntropy::new().with_gradient().with_target_gradient().with_metrics();
        let input = CrossEntropyInput::new(case.matrix(), matrix(&case, &q));
        let want = reference::cross_entropy(&op, &input).expect("sound");
        let logits = bench.buffer(&embedded(&case, offset, stride));
        let (targets, aside) = (bench.buffer(&q), bench.buffer(&vec![0.0f32; q.len()]));
        let (r, c) = (rows as u64, classes as u64);
        let logits_matrix = MatrixBuffer::new(&logits, r, c)
            .with_offset(4 * offset as u64)
            .with_row_stride(stride as u64);
        let buffers = CrossEntropyBuffers::new(
            logits_matrix,
            TargetsBuffer::Probs(MatrixBuffer::new(&targets, r, c)),
        )
        .with_dlogits(OutputBuffer::InPlace)
        .with_dtargets(MatrixBuffer::new(&aside, r, c));
        let call = run(&bench, &op, buffers);
        let after: Vec<f32> = bench.read(&logits);
        assert_close(&extract(&after, &case, offset, stride), &values(want.dlogits.as_ref()));
        assert_close(&bench.read::<f32>(&aside), &values(want.dtargets.as_ref()));
        let beside = after.iter().filter(|x| **x == 7.0).count();
        assert_eq!(beside, after.len() - rows * classes, "nothing is written beside");
        let summary = call.read_summary_blocking().expect("there is one");
        assert_close(&[summary.loss], &[want.loss.reduced().expect("a mean")]);
        let (got, want) =
            (call.read_metrics_blocking().expect("some"), want.metrics.expect("some"));
        assert_eq!((got.argmax, got.correct), (want.argmax, want.correct));
    }
}

/// Nobody has looked at them: what is no probability goes through formula (15), and what is not finite is
/// its row's.
#[test]
fn probability_targets_that_the_host_has_not_seen() {
    let bench = Bench::new();
    let classes = 5;
    let case = case(6, classes);
    let mut q = labels(&case, 73);
    (q[0], q[classes + 1], q[2 * classes + 3]) = (2.0, -0.5, -100.0);
    (q[3 * classes], q[4 * classes + 4]) = (f32::INFINITY, f32::NAN);
    let (logits, targets) = (bench.buffer(&case.logits), bench.buffer(&q));
    let view = |buffer| MatrixBuffer::new(buffer, 6, classes as u64);
    let buffers = CrossEntropyBuffers::new(view(&logits), TargetsBuffer::Probs(view(&targets)))
        .with_dlogits(OutputBuffer::InPlace);
    let op = CrossEntropy::new().with_gradient().with_reduction(Reduction::None);
    let got = losses(&run(&bench, &op, buffers));
    let dlogits: Vec<f32> = bench.read(&logits);
    for row in 0..6 {
        let columns = row * classes..(row + 1) * classes;
        if row == 3 || row == 4 {
            assert!(got[row].is_nan() && dlogits[columns].iter().all(|x| x.is_nan()), "row {row}");
            continue;
        }
        let of_row =
            |x: &[f32]| x[columns.clone()].iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
        let (x, q) = (of_row(&case.logits), of_row(&q));
        let lse = x.iter().map(|x| x.exp()).sum::<f64>().ln();
        let sum: f64 = q.iter().sum();
        let want: f64 = x.iter().zip(&q).map(|(x, q)| q * (lse - x)).sum();
        let size: f64 = x.iter().zip(&q).map(|(x, q)| (q * (lse - x)).abs()).sum();
        assert!((f64::from(got[row]) - want).abs() < 1e-6 * (1.0 + size), "row {row}: {want}");
        let gradient: Vec<f64> = x.iter().zip(&q).map(|(x, q)| sum * (x - lse).exp() - q).collect();
        let largest = q.iter().fold(1.0, |most: f64, q| most.max(q.abs()));
        for (got, want) in of_row(&dlogits).iter().zip(&gradient) {
            assert!((got - want).abs() < 1e-6 * largest, "row {row}: {got}, {want}");
        }
    }
}

#[test]
fn divergences_in_place_and_separate() {
    let bench = Bench::new();
    for (rows, classes, offset, stride) in SHAPES {
        let case = case(rows, classes);
        let teacher =
            common::losses::without_ignored(common::cases::Family::Normal.case(rows, classes, 72));
        let kl = KlDivergence::new().with_gradient().with_temperature(2.0);
        let js = JsDivergence::new().with_gradient().with_reduction(Reduction::None);
        let input = DivergenceInput::new(teacher.matrix(), case.matrix());
        let want_kl = reference::kl_divergence(&kl, &input).expect("sound");
        let want_js = reference::js_divergence(&js, &input).expect("sound");
        let (r, c) = (rows as u64, classes as u64);
        let teacher = bench.buffer(&embedded(&teacher, offset, stride));
        let teacher = MatrixBuffer::new(&teacher, r, c)
            .with_offset(4 * offset as u64)
            .with_row_stride(stride as u64);
        let student = bench.buffer(&case.logits);
        let output = bench.buffer(&vec![0.0f32; rows * classes]);
        let buffers = DivergenceBuffers::new(teacher, MatrixBuffer::new(&student, r, c))
            .with_dstudent(OutputBuffer::Separate(MatrixBuffer::new(&output, r, c)));
        let call = run(&bench, &kl, buffers);
        let summary = call.read_summary_blocking().expect("there is one");
        assert_close(&[summary.loss], &[want_kl.loss.reduced().expect("a mean")]);
        assert_close(&bench.read::<f32>(&output), &values(want_kl.dstudent.as_ref()));
        let buffers = DivergenceBuffers::new(teacher, MatrixBuffer::new(&student, r, c))
            .with_dstudent(OutputBuffer::InPlace);
        let call = run(&bench, &js, buffers);
        assert_close(&losses(&call), &each(&want_js.loss));
        assert_close(&bench.read::<f32>(&student), &values(want_js.dstudent.as_ref()));
    }
}

#[test]
fn elementwise_losses_beside_their_gradient() {
    let bench = Bench::new();
    for (rows, columns, offset, stride) in SHAPES {
        let case = case(rows, columns);
        let y: Vec<f32> = (0..rows * columns).map(|i| (i % 2) as f32).collect();
        let (r, c) = (rows as u64, columns as u64);
        let none = BinaryCrossEntropy::new().with_reduction(Reduction::None).with_unit(Unit::Bits);
        let input = ElementwiseInput::new(case.matrix(), matrix(&case, &y));
        let want = reference::binary_cross_entropy(&none.clone().with_gradient(), &input);
        let want = want.expect("sound");
        let targets = bench.buffer(&y);
        let targets = MatrixBuffer::new(&targets, r, c);

        // The losses alone, over the input.
        let logits = bench.buffer(&embedded(&case, offset, stride));
        let logits_matrix = MatrixBuffer::new(&logits, r, c)
            .with_offset(4 * offset as u64)
            .with_row_stride(stride as u64);
        let buffers =
            ElementwiseBuffers::new(logits_matrix, targets).with_losses(OutputBuffer::InPlace);
        run(&bench, &none, buffers);
        let after: Vec<f32> = bench.read(&logits);
        assert_close(&extract(&after, &case, offset, stride), &each(&want.loss));

        // The losses aside, the gradient over the input.
        let logits = bench.buffer(&case.logits);
        let aside = bench.buffer(&vec![0.0f32; rows * columns]);
        let op = none.clone().with_gradient();
        let losses = OutputBuffer::Separate(MatrixBuffer::new(&aside, r, c));
        let buffers = ElementwiseBuffers::new(MatrixBuffer::new(&logits, r, c), targets)
            .with_losses(losses)
            .with_dinput(OutputBuffer::InPlace);
        run(&bench, &op, buffers);
        assert_close(&bench.read::<f32>(&aside), &each(&want.loss));
        assert_close(&bench.read::<f32>(&logits), &values(want.dinput.as_ref()));

        // A sum, and an upstream gradient for each element of none.
        let logits = bench.buffer(&case.logits);
        let sum = BinaryCrossEntropy::new().with_reduction(Reduction::Sum);
        let buffers = ElementwiseBuffers::new(MatrixBuffer::new(&logits, r, c), targets);
        let call = run(&bench, &sum, buffers);
        let want = reference::binary_cross_entropy(&sum, &input).expect("sound");
        let summary = call.read_summary_blocking().expect("there is one");
        assert_close(&[summary.loss], &[want.loss.reduced().expect("a sum")]);
    }
}

#[test]
fn focal_entropy_and_surprisal() {
    let bench = Bench::new();
    let case = case(9, 33);
    let (r, c) = (9, 33);
    let logits = bench.buffer(&case.logits);
    let matrix_buffer = MatrixBuffer::new(&logits, r, c);
    let targets = bench.buffer(&case.targets);
    let op = Focal::new().with_gradient().with_alpha(vec![0.5f32; 33]);
    let input = CrossEntropyInput::new(case.matrix(), &case.targets);
    let want = reference::focal(&op, &input).expect("sound");
    let output = bench.buffer(&[0.0f32; 9 * 33]);
    let separate = OutputBuffer::Separate(MatrixBuffer::new(&output, r, c));
    let buffers =
        CrossEntropyBuffers::new(matrix_buffer, TargetsBuffer::I64(VectorBuffer::new(&targets)));
    // In place it binds four buffers, the floor of all devices; beside its input one more.
    let error = bench.gpu.prepare_blocking(&op, buffers.with_dlogits(separate));
    assert!(matches!(error, Err(Error::DeviceTooSmall { .. })));
    let over = bench.buffer(&case.logits);
    let buffers = CrossEntropyBuffers::new(
        MatrixBuffer::new(&over, r, c),
        TargetsBuffer::I64(VectorBuffer::new(&targets)),
    );
    let call = run(&bench, &op, buffers.with_dlogits(OutputBuffer::InPlace));
    let summary = call.read_summary_blocking().expect("there is one");
    assert_close(&[summary.loss], &[want.loss.reduced().expect("a mean")]);
    assert_eq!(u64::from(summary.kept_rows), want.kept_rows);
    assert_close(&bench.read::<f32>(&over), &values(want.dlogits.as_ref()));

    let call = run(&bench, &Entropy::new(), RowResultBuffers::new(matrix_buffer));
    assert_close(&losses(&call), &reference::entropy(case.matrix()));
    let dentropy = upstream_values(9);
    let upstream = bench.buffer(&dentropy);
    let upstream = VectorBuffer::new(&upstream);
    let buffers = RowBackwardBuffers::new(matrix_buffer, upstream, separate);
    run(&bench, &EntropyBackward::new(), buffers);
    let dentropy: Vec<f64> = dentropy.iter().map(|&d| f64::from(d)).collect();
    let want = reference::entropy_backward(case.matrix(), &dentropy).expect("same rows");
    assert_close(&bench.read::<f32>(&output), &want);
    run(&bench, &Surprisal::new(), TransformBuffers::new(matrix_buffer, separate));
    assert_close(&bench.read::<f32>(&output), &reference::surprisal(case.matrix()));
}

#[test]
fn an_upstream_gradient_for_each_element() {
    let device = Device::with_gpu(common::gpu());
    let case = case(5, 12);
    let y: Vec<f32> = (0..60).map(|i| (i % 2) as f32).collect();
    let above = upstream_values(60);
    let op = BinaryCrossEntropy::new().with_reduction(Reduction::None).with_gradient();
    let input = ElementwiseInput::new(case.matrix(), matrix(&case, &y))
        .with_upstream(Upstream::Each((&above).into()));
    let want = reference::binary_cross_entropy(&op, &input).expect("sound");
    let got = device.run(&op, input).expect("sound").dinput.expect("asked for");
    assert_close(got.as_f32().expect("like its input"), &values(want.dinput.as_ref()));
}

#[test]
fn what_is_refused() {
    let bench = Bench::new();
    let case = case(4, 6);
    let [a, b, c] = [(); 3].map(|()| bench.buffer(&case.logits));
    let (m, n) = (MatrixBuffer::new(&a, 4, 6), MatrixBuffer::new(&b, 4, 6));
    let probs = TargetsBuffer::Probs(n);
    let rows = UpstreamBuffer::Rows(VectorBuffer::new(&b));
    let refused = |error: Error, argument: &str| match error {
        Error::InvalidInput { what, .. } => assert_eq!(what, argument),
        Error::InvalidBuffer { name, .. } => assert_eq!(name, argument),
        other => panic!("{argument}: {other}"),
    };
    let gpu = &bench.gpu;
    let cross = |op: &CrossEntropy, buffers| gpu.prepare_blocking(op, buffers).expect_err("wrong");
    let new = CrossEntropy::new;
    let buffers = CrossEntropyBuffers::new(m, probs);
    refused(cross(&new().with_gradient(), buffers), "dlogits");
    refused(cross(&new(), buffers.with_dlogits(OutputBuffer::InPlace)), "dlogits");
    refused(cross(&new().with_target_gradient(), buffers), "dtargets");
    refused(cross(&new(), buffers.with_dtargets(m)), "dtargets");
    refused(cross(&new().with_target_gradient(), buffers.with_dtargets(n)), "output");
    refused(cross(&new().with_target_gradient(), buffers.with_dtargets(m)), "output");
    refused(cross(&new(), buffers.with_upstream(rows)), "upstream");
    refused(cross(&new().with_ignore_index(0), buffers), "ignore_index");
    let by_row = new().with_reduction(Reduction::None);
    refused(cross(&by_row, buffers.with_upstream(UpstreamBuffer::Elements(n))), "upstream");
    let focal = gpu.prepare_blocking(&Focal::new(), buffers).expect_err("no indices");
    refused(focal, "targets");

    let kl = |op: &KlDivergence, buffers| gpu.prepare_blocking(op, buffers).expect_err("wrong");
    let buffers = DivergenceBuffers::new(m, n);
    refused(kl(&KlDivergence::new().with_gradient(), buffers), "dstudent");
    let over_teacher = buffers.with_dstudent(OutputBuffer::Separate(m));
    refused(kl(&KlDivergence::new().with_gradient(), over_teacher), "output");
    refused(kl(&KlDivergence::new().with_temperature(-1.0), buffers), "temperature");

    let binary = BinaryCrossEntropy::new;
    let element =
        |op: &BinaryCrossEntropy, buffers| gpu.prepare_blocking(op, buffers).expect_err("wrong");
    let buffers = ElementwiseBuffers::new(m, n);
    refused(element(&binary().with_gradient(), buffers), "dinput");
    refused(element(&binary(), buffers.with_losses(OutputBuffer::InPlace)), "losses");
    let none = binary().with_reduction(Reduction::None);
    refused(element(&none, buffers), "losses");
    refused(element(&none, buffers.with_upstream(rows)), "upstream");
    let both = buffers.with_losses(OutputBuffer::InPlace).with_dinput(OutputBuffer::InPlace);
    refused(element(&none.clone().with_gradient(), both), "losses");
    let shared = OutputBuffer::Separate(MatrixBuffer::new(&c, 4, 6));
    let twice = buffers.with_losses(shared).with_dinput(shared);
    refused(element(&none.clone().with_gradient(), twice), "output");
    let over_targets = buffers.with_losses(OutputBuffer::Separate(n));
    refused(element(&none, over_targets), "output");
}
