//! One device from many threads, many devices at once, and futures that may move between threads.

mod common;

use common::cases::{Case, Family};
use surprisal::gpu::{Call, Gpu, MatrixBuffer, OutputBuffer, TransformBuffers};
use surprisal::stream::Batch;
use surprisal::{
    Array, CrossEntropy, CrossEntropyInput, Device, Error, LinearCrossEntropy,
    LinearCrossEntropyInput, Loss, Matrix, Result, Softmax, wgpu,
};

fn assert_send<T: Send>(value: T) -> T {
    value
}

/// What an executor that moves tasks between threads asks for.
fn assert_spawnable<T>(future: impl Future<Output = T> + Send + 'static) {
    drop(future);
}

fn prepare(gpu: &Gpu, buffer: &wgpu::Buffer) {
    let logits = MatrixBuffer::new(buffer, 2, 3);
    let buffers = TransformBuffers::new(logits, OutputBuffer::InPlace);
    drop(assert_send(gpu.prepare(&Softmax, buffers)));
}

fn read(call: &Call) {
    drop(assert_send(call.read_summary()));
    drop(assert_send(call.read_stats()));
}

#[test]
fn futures_are_send() {
    fn sync<T: Send + Sync>() {}
    sync::<Device>();
    sync::<Gpu>();
    sync::<Call>();
    assert_spawnable(async move {
        let device = Device::cpu();
        let logits = vec![0.0f32; 6];
        let matrix = Matrix::new(&logits, 2, 3)?;
        device.run_async(&Softmax, matrix).await?;
        let input = CrossEntropyInput::new(matrix, &[0i64, 1]);
        device.run_timed_async(&CrossEntropy::new(), input).await
    });
    assert_spawnable(Device::auto_async());
    let _ = prepare;
    let _ = read;
}

type Job = fn(&Device) -> Result<Vec<u8>>;

/// Kernels, buffers and passes of all kinds, each with its loss and its matrix.
const JOBS: [Job; 5] = [short_rows, long_rows, transform, layer, windows];

/// What a loss and its gradient are, to the bit.
fn bits(loss: &Loss, gradient: Option<Array>) -> Vec<u8> {
    let mut bits = loss.reduced().expect("a mean").to_le_bytes().to_vec();
    bits.extend_from_slice(gradient.expect("asked for").as_bytes());
    bits
}

fn cross_entropy(device: &Device, case: &Case) -> Result<Vec<u8>> {
    let op = CrossEntropy::new().with_gradient();
    let output = device.run(&op, CrossEntropyInput::new(case.matrix(), &case.targets))?;
    Ok(bits(&output.loss, output.dlogits))
}

fn short_rows(device: &Device) -> Result<Vec<u8>> {
    cross_entropy(device, &Family::Normal.case(50, 100, 31))
}

fn long_rows(device: &Device) -> Result<Vec<u8>> {
    cross_entropy(device, &Family::Normal.case(2, 40_000, 32))
}

fn transform(device: &Device) -> Result<Vec<u8>> {
    let case = Family::Normal.case(300, 7, 33);
    Ok(device.run(&Softmax, case.matrix())?.as_bytes().to_vec())
}

fn layer(device: &Device) -> Result<Vec<u8>> {
    let (hidden, weight) = (Family::Normal.case(40, 16, 34), Family::Normal.case(33, 16, 35));
    let targets: Vec<i64> = (0..40).map(|row| if row % 3 == 0 { -100 } else { row % 33 }).collect();
    let op = LinearCrossEntropy::new(CrossEntropy::new()).with_gradient();
    let input = LinearCrossEntropyInput::new(hidden.matrix(), weight.matrix(), &targets);
    let output = device.run(&op, input)?;
    let mut bits = bits(&output.loss, output.dhidden);
    bits.extend_from_slice(output.dweight.expect("asked for").as_bytes());
    Ok(bits)
}

fn windows(device: &Device) -> Result<Vec<u8>> {
    let case = Family::Normal.case(64, 50, 36);
    let op = CrossEntropy::new().with_gradient();
    let mut stream = device.stream(&op, Batch::new(64, 50, 20).with_targets(&case.targets))?;
    let mut bits = Vec::new();
    for (rows, targets) in case.logits.chunks(20 * 50).zip(case.targets.chunks(20)) {
        let logits = Matrix::new(rows, targets.len(), 50)?;
        let part = stream.push(CrossEntropyInput::new(logits, targets))?;
        bits.extend_from_slice(part.matrix.expect("asked for").as_bytes());
    }
    bits.extend_from_slice(&stream.finish()?.loss.expect("a mean").to_le_bytes());
    Ok(bits)
}

/// What each job comes to when nothing else runs. A small device may refuse one; it does so always.
fn alone(device: &Device) -> Vec<Result<Vec<u8>>> {
    let results: Vec<_> = JOBS.iter().map(|job| job(device)).collect();
    for result in &results {
        let refused = matches!(result, Err(Error::DeviceTooSmall { .. }));
        assert!(result.is_ok() || refused, "{result:?} on {}", device.info());
    }
    assert!(results.iter().any(Result::is_ok), "on {}", device.info());
    results
}

#[test]
fn one_device_from_many_threads() {
    for device in common::devices() {
        let alone = alone(&device);
        std::thread::scope(|scope| {
            for thread in 0..JOBS.len() {
                let (device, alone) = (&device, &alone);
                scope.spawn(move || {
                    for job in (0..3 * JOBS.len()).map(|turn| (thread + turn) % JOBS.len()) {
                        let is_same = JOBS[job](device) == alone[job];
                        assert!(is_same, "job {job} in thread {thread} on {}", device.info());
                    }
                });
            }
        });
    }
}

/// Opened, used and closed while others are.
#[test]
fn many_devices_at_once() {
    let alone = alone(&Device::with_gpu(common::gpu()));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let alone = &alone;
            scope.spawn(move || {
                for _ in 0..3 {
                    let device = Device::with_gpu(common::gpu());
                    for job in (0..JOBS.len()).map(|turn| (thread + turn) % JOBS.len()) {
                        let is_same = JOBS[job](&device) == alone[job];
                        assert!(is_same, "job {job} in thread {thread} on {}", device.info());
                    }
                }
            });
        }
    });
}
