//! A budget of time cuts dispatches and submissions, and changes no bit.

mod common;

use std::time::Duration;

use common::bench::{Bench, case};
use half::bf16;
use surprisal::gpu::{
    CrossEntropyBuffers, Fault, Gpu, MatrixBuffer, OutputBuffer, TargetsBuffer, VectorBuffer,
};
use surprisal::stream::Batch;
use surprisal::{
    Array, CrossEntropy, CrossEntropyInput, Device, DivergenceInput, Elementwise, ElementwiseInput,
    ElementwiseLoss, JsDivergence, Loss, Matrix, Reduction, Softmax,
};

/// The same GPU, of which dispatches ask for no more than so many elements. No submission is as short
/// as the budget: none grows by what the ones before it took.
fn cut(gpu: &Gpu, elements: u64) -> Gpu {
    let mut tuning = gpu.tuning();
    tuning.budget = Duration::from_micros(1);
    tuning.elements_per_second = elements * 1_000_000;
    gpu.with_tuning(tuning)
}

fn bits(loss: &Loss, arrays: [Option<&Array>; 2]) -> (Option<u64>, Vec<Vec<u8>>) {
    let arrays = arrays.into_iter().chain([loss.each()]).flatten();
    let bytes = arrays.map(|array| array.as_bytes().to_vec()).collect();
    (loss.reduced().map(f64::to_bits), bytes)
}

#[test]
fn a_budget_does_not_change_a_bit() {
    let gpu = common::gpu();
    let whole = Device::with_gpu(gpu.clone());
    for (rows, classes) in [(700, 10), (5000, 131), (40, 4099), (9001, 4), (3, 70_001)] {
        let (case, teacher) = (case(rows, classes), case(rows, classes + 1));
        let teacher = &teacher.logits[..rows * classes];
        let narrow: Vec<_> = case.logits.iter().map(|&x| bf16::from_f32(x)).collect();
        let of = |values| Matrix::new(values, rows, classes).expect("its shape");
        let narrow = Matrix::new(&narrow, rows, classes).expect("its shape");
        let run = |device: &Device| {
            let op = CrossEntropy::new().with_gradient();
            let mut results = Vec::new();
            for logits in [case.matrix(), narrow] {
                let input = CrossEntropyInput::new(logits, &case.targets);
                let output = device.run(&op, input).expect("it is sound");
                results.push(bits(&output.loss, [output.dlogits.as_ref(), Some(&output.lse)]));
            }
            let input = DivergenceInput::new(of(teacher), case.matrix());
            let op = JsDivergence::new().with_gradient();
            let output = device.run(&op, input).expect("it is sound");
            results.push(bits(&output.loss, [output.dstudent.as_ref(), Some(&output.lse)]));
            let input = ElementwiseInput::new(case.matrix(), of(teacher));
            let op = Elementwise::new(ElementwiseLoss::Huber { delta: 1.0 })
                .with_reduction(Reduction::None)
                .with_gradient();
            let output = device.run(&op, input).expect("it is sound");
            results.push(bits(&output.loss, [output.dinput.as_ref(), None]));
            let softmax = device.run(&Softmax, case.matrix()).expect("it is sound");
            results.push((None, vec![softmax.as_bytes().to_vec()]));
            results
        };
        let want = run(&whole);
        for parts in [3, 19] {
            let cut = cut(&gpu, (rows * classes / parts) as u64);
            assert!(run(&Device::with_gpu(cut)) == want, "{rows} x {classes} in {parts} and more");
        }
    }
}

#[test]
fn a_stream_within_a_budget_has_the_same_bits() {
    let gpu = common::gpu();
    let case = case(100, 50);
    let op = CrossEntropy::new().with_gradient();
    let run = |device: &Device| {
        let batch = Batch::new(100, 50, 40).with_targets(&case.targets);
        let mut stream = device.stream(&op, batch).expect("a stream");
        let mut gradient = Vec::new();
        for (rows, targets) in case.logits.chunks(40 * 50).zip(case.targets.chunks(40)) {
            let window = Matrix::new(rows, targets.len(), 50).expect("its shape");
            let part = stream.push(CrossEntropyInput::new(window, targets)).expect("a window");
            gradient.extend_from_slice(part.matrix.expect("it was asked for").as_bytes());
        }
        (stream.finish().expect("a total").loss.map(f64::to_bits), gradient)
    };
    let want = run(&Device::with_gpu(gpu.clone()));
    assert!(run(&Device::with_gpu(cut(&gpu, 700))) == want);
}

#[test]
fn dispatches_are_cut() {
    let gpu = Bench::new().gpu;
    // Read and written: 200 elements a row.
    let dispatches = |gpu: &Gpu| {
        let bench = Bench { gpu: gpu.clone() };
        let logits = bench.buffer(&vec![0.0f32; 1000 * 100]);
        let targets = bench.buffer(&vec![0i32; 1000]);
        let buffers = CrossEntropyBuffers::new(
            MatrixBuffer::new(&logits, 1000, 100),
            TargetsBuffer::I32(VectorBuffer::new(&targets)),
        )
        .with_dlogits(OutputBuffer::InPlace);
        let op = CrossEntropy::new().with_gradient();
        gpu.prepare_blocking(&op, buffers).expect("the buffers are sound").dispatches()
    };
    let whole = dispatches(&gpu);
    assert_eq!(dispatches(&cut(&gpu, 200 * 1000)), whole);
    assert_eq!(dispatches(&cut(&gpu, 200 * 100)), whole + 9);
    assert_eq!(dispatches(&cut(&gpu, 200 * 100 - 1)), whole + 10);
    // A row is the least.
    assert_eq!(dispatches(&cut(&gpu, 1)), whole + 999);
}

#[test]
fn submissions_are_cut() {
    let gpu = common::gpu();
    let case = case(80, 100);
    let op = CrossEntropy::new().with_gradient();
    // A call that creates or submits something can fail: so they are counted.
    let calls = |gpu: &Gpu| {
        let fails = |&k: &u32| {
            let device = Device::with_gpu(gpu.with_fault_at(k, Fault::OutOfMemory));
            device.run(&op, CrossEntropyInput::new(case.matrix(), &case.targets)).is_err()
        };
        (0..1000).take_while(fails).count()
    };
    let whole = calls(&gpu);
    // Eight parts of ten rows are seven more than one, each recorded and submitted.
    assert_eq!(calls(&cut(&gpu, 200 * 10)), whole + 2 * 7);
}
