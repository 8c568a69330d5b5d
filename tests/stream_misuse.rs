//! Windows and blocks that are not like the first, or come after one that failed: the same error on every
//! device.

mod common;

use half::f16;
use surprisal::gpu::Fault;
use surprisal::stream::{Batch, Stages, overlap};
use surprisal::{
    Array, CrossEntropy, CrossEntropyInput, Device, Dtype, Elementwise, ElementwiseInput,
    ElementwiseLoss, Error, LinearCrossEntropy, Matrix, Softmax, Upstream, Values,
};

fn row<'a>(values: impl Into<Values<'a>>) -> Matrix<'a> {
    Matrix::new(values, 1, 3).expect("a row")
}

const ROW: [f32; 3] = [0.5, -1.0, 2.0];

fn refused<T>(result: Result<T, Error>, what: &str, reason: &str) {
    let Err(Error::InvalidInput { what: named, reason: given }) = result else {
        panic!("no {what}: {reason}");
    };
    assert_eq!((named, given.as_str()), (what, reason));
}

#[test]
fn a_window_of_another_dtype() {
    let halves = ROW.map(f16::from_f32);
    for device in common::devices() {
        let mut stream = device.stream(&Softmax, Batch::new(2, 3, 1)).expect("sound");
        stream.push(row(&halves)).expect("the first");
        let reason = "its matrices and their dtypes are not those of the first";
        refused(stream.push(row(&ROW)), "window", reason);
        stream.push(row(&halves)).expect("nothing was done");
        stream.finish().expect("whole");
    }
}

#[test]
fn a_window_with_another_upstream_gradient() {
    let op = CrossEntropy::new().with_gradient();
    for device in common::devices() {
        let batch = Batch::new(2, 3, 1).with_targets(&[0i64, 1]);
        let mut stream = device.stream(&op, batch).expect("sound");
        let window = |target: &'static [i64], dloss| {
            CrossEntropyInput::new(row(&ROW), target).with_upstream(Upstream::Scalar(dloss))
        };
        stream.push(window(&[0], f64::NAN)).expect("the first");
        let reason = "its upstream gradients are not those of the first";
        refused(stream.push(window(&[1], 0.5)), "window", reason);
        stream.push(window(&[1], f64::NAN)).expect("as the first");
    }
}

#[test]
fn targets_are_those_of_the_batch() {
    let op = CrossEntropy::new();
    let probs = [0.2f32, 0.3, 0.5];
    for device in common::devices() {
        let push = |batch: Batch<'_>, input: CrossEntropyInput<'_>| {
            let mut stream = device.stream(&op, batch).expect("sound");
            stream.push(input)
        };
        let indices = CrossEntropyInput::new(row(&ROW), &[2i64]);
        let none = Batch::new(1, 3, 1);
        refused(
            push(none, indices),
            "targets",
            "are missing in the batch, see Batch::with_targets",
        );
        let soft = CrossEntropyInput::new(row(&ROW), row(&probs));
        let reason = "are class indices in the batch, and none in the window";
        refused(push(none.with_targets(&[2i64]), soft), "targets", reason);
        let other = push(none.with_targets(&[1i64]), indices);
        refused(other, "targets", "row 0: 2, and 1 in the batch");
        push(none.with_targets(&[2i32]), indices).expect("i32 and i64 may meet");
    }
}

#[test]
fn linear_windows_and_blocks_have_one_dtype() {
    let halves = ROW.map(f16::from_f32);
    let weight = Matrix::new(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], 2, 3).expect("a layer");
    let op = LinearCrossEntropy::new(CrossEntropy::new());
    for device in common::devices() {
        let mut stream = device.stream_linear(&op, weight, None, &[0i64, 1]).expect("sound");
        stream.push(row(&ROW), Upstream::default()).expect("the first");
        let reason = "its matrices and their dtypes are not those of the first";
        refused(stream.push(row(&halves), Upstream::default()), "window", reason);
        let reason = "its upstream gradients are not those of the first";
        refused(stream.push(row(&ROW), Upstream::Scalar(2.0)), "window", reason);
        stream.push(row(&ROW), Upstream::default()).expect("as the first");
        stream.finish().expect("whole");

        let mut stream = device.stream_classes(&op, 2, &[0i64]).expect("sound");
        let mut window = stream.window(row(&ROW), Upstream::default()).expect("a row");
        window.push(row(&ROW), None).expect("the first");
        let reason = "its matrices and their dtypes are not those of the first";
        refused(window.push(row(&halves), None), "block", reason);
        window.push(row(&ROW), None).expect("as the first");
        window.finish().expect("both");
    }
}

/// Whatever call of a window fails: it cannot be pushed again, for some of it may have been counted.
#[test]
fn nothing_comes_after_a_window_that_failed() {
    let weight = Array::F32((0..40u8).map(f32::from).collect());
    let weight = Matrix::new(weight.values(), 20, 2).expect("a layer");
    let hidden = Matrix::new(&[1.0f32, -1.0], 1, 2).expect("a row");
    let op = LinearCrossEntropy::new(CrossEntropy::new()).with_gradient();
    let mut failures = 0;
    for call in 0.. {
        let device = Device::with_gpu(common::gpu().with_fault_at(call, Fault::OutOfMemory));
        let mut stream = device.stream_linear(&op, weight, None, &[3i64, 4]).expect("sound");
        let pushed = (0..2).try_for_each(|_| stream.push(hidden, Upstream::default()).map(|_| ()));
        let Err(error) = pushed else { break };
        assert!(matches!(error, Error::OutOfMemory { .. }), "{error:?}");
        failures += 1;
        let reason = "a window failed: begin the batch anew";
        refused(stream.push(hidden, Upstream::default()), "stream", reason);
        refused(stream.finish(), "stream", reason);
    }
    assert!(failures > 5, "{failures} calls are too few for two windows");
}

#[test]
#[should_panic(expected = "a ring without windows")]
fn a_ring_without_windows() {
    let stages = Stages {
        read: |_, _: &mut u8| Ok::<(), String>(()),
        compute: |_, _: &mut u8| Ok(()),
        collect: |_, _: &mut u8| Ok(()),
        write: |_, _: &mut u8| Ok(()),
    };
    let _ = overlap(10, 3, Vec::new(), stages);
}

/// Nothing has that many elements.
#[test]
fn sizes_past_all_counting() {
    let op = Elementwise::new(ElementwiseLoss::Squared);
    let folded = Batch::of_elements(1 << 33, 1 << 33, 1);
    for device in common::devices() {
        for batch in [folded, Batch::new(usize::MAX, 3, 1)] {
            let mut stream = device.stream(&op, batch).expect("its options are sound");
            let _ = stream.push(ElementwiseInput::new(row(&ROW), row(&ROW)));
            assert!(stream.finish().is_err(), "there is more to come");
        }
        assert!(
            device.stream_bytes(&op, usize::MAX, &[Dtype::F64; 2]).expect("sound").window_row
                > usize::MAX / 2
        );
    }
}
