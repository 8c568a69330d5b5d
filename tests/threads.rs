//! One device from many threads, and futures that may move between them.

mod common;

use common::cases::Family;
use surprisal::gpu::{Call, Gpu, MatrixBuffer, OutputBuffer, TransformBuffers};
use surprisal::{CrossEntropy, CrossEntropyInput, Device, Matrix, Softmax, wgpu};

fn assert_send<T: Send>(value: T) -> T {
    value
}

/// What an executor that moves tasks between threads asks for.
fn assert_spawnable<T>(future: impl Future<Output = T> + Send + 'static) {
    drop(future);
}

fn prepare(gpu: &Gpu, buffer: &wgpu::Buffer) {
    let logits = MatrixBuffer::new(buffer, 2, 3);
    let buffers = TransformBuffers { logits, output: OutputBuffer::InPlace };
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
    assert_spawnable(Device::best_async());
    let _ = prepare;
    let _ = read;
}

#[test]
fn one_device_from_many_threads() {
    let device = Device::with_gpu(common::gpu());
    let case = Family::Normal.case(50, 100, 31);
    let op = CrossEntropy::new().with_gradient();
    let run = || {
        let input = CrossEntropyInput::new(case.matrix(), &case.targets);
        let output = device.run(&op, input).expect("sound");
        (output.loss.reduced().map(f64::to_bits), output.dlogits.map(|d| d.as_bytes().to_vec()))
    };
    let alone = run();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10 {
                    assert!(run() == alone, "as when alone");
                }
            });
        }
    });
}
