//! Four stages at once: every window in its order, and an end to all of them when one fails.

mod common;

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use surprisal::stream::{Batch, Pending, Stages, overlap};
use surprisal::{Array, Device, Error, Matrix, Softmax};

type Window = Vec<usize>;

fn ring(windows: usize) -> Vec<Window> {
    vec![Window::new(); windows]
}

#[test]
fn every_window_once_and_in_order() {
    for (rows, window_rows, windows) in [(0, 5, 3), (1, 5, 3), (100, 7, 1), (100, 7, 2), (99, 3, 5)]
    {
        let mut written = Vec::new();
        let stages = Stages {
            read: |rows: Range<usize>, window: &mut Window| {
                window.clear();
                window.extend(rows);
                Ok::<(), ()>(())
            },
            compute: |_, window: &mut Window| {
                for row in window {
                    *row *= 2;
                }
                Ok(())
            },
            collect: |_, window: &mut Window| {
                for row in window {
                    *row += 1;
                }
                Ok(())
            },
            write: |_, window: &mut Window| {
                written.extend_from_slice(window);
                Ok(())
            },
        };
        overlap(rows, window_rows, ring(windows), stages).expect("nothing fails");
        let want: Vec<_> = (0..rows).map(|row| 2 * row + 1).collect();
        assert_eq!(written, want, "{rows} rows by {window_rows} in {windows} windows");
    }
}

#[test]
fn the_stage_that_fails_ends_the_others() {
    for failing in ["read", "compute", "collect", "write"] {
        for at in [0, 4, 9] {
            let stage = |name: &'static str| {
                move |rows: Range<usize>, _: &mut Window| {
                    if name == failing && rows.start == at { Err((name, at)) } else { Ok(()) }
                }
            };
            let stages = Stages {
                read: stage("read"),
                compute: stage("compute"),
                collect: stage("collect"),
                write: stage("write"),
            };
            let error = overlap(10, 1, ring(3), stages).expect_err("a stage fails");
            assert_eq!(error, (failing, at));
        }
    }
}

#[test]
fn stages_work_at_once_on_no_more_windows_than_there_are() {
    let (alive, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let pause = || std::thread::sleep(Duration::from_millis(5));
    let stages = Stages {
        read: |_: Range<usize>, _: &mut Window| {
            most.fetch_max(alive.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            pause();
            Ok::<(), ()>(())
        },
        compute: |_, _: &mut Window| {
            pause();
            Ok(())
        },
        collect: |_, _: &mut Window| {
            pause();
            Ok(())
        },
        write: |_, _: &mut Window| {
            pause();
            alive.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        },
    };
    overlap(20, 1, ring(4), stages).expect("nothing fails");
    assert_eq!(most.load(Ordering::SeqCst), 4);
}

/// Windows that take a device some milliseconds are handed over, waited for and put away by three threads,
/// with the bits of the whole.
#[test]
fn stages_on_a_device() {
    #[derive(Default)]
    struct Window {
        rows: Vec<f32>,
        pending: Option<Pending>,
        probs: Option<Array>,
    }
    let (rows, columns) = (1000, 4000);
    let logits: Vec<f32> = (0..rows * columns).map(|i| (i * 37 % 1009) as f32 / 100.0).collect();
    for device in [Device::cpu(), Device::with_gpu(common::gpu())] {
        let whole = Matrix::new(&logits, rows, columns).and_then(|x| device.run(&Softmax, x));
        let mut stream = device.stream(&Softmax, Batch::new(rows, columns, 25)).expect("a stream");
        let mut written = Vec::new();
        let stages = Stages {
            read: |rows: Range<usize>, window: &mut Window| {
                window.rows.clear();
                window.rows.extend(&logits[rows.start * columns..rows.end * columns]);
                Ok::<(), Error>(())
            },
            compute: |rows: Range<usize>, window: &mut Window| {
                let input = Matrix::new(&window.rows, rows.len(), columns)?;
                window.pending = Some(stream.begin(input, window.probs.take())?);
                Ok(())
            },
            collect: |_, window: &mut Window| {
                let pending = window.pending.take().expect("it was handed over");
                window.probs = pending.wait()?.matrix;
                Ok(())
            },
            write: |_, window: &mut Window| {
                written.extend_from_slice(window.probs.as_ref().map_or(&[], Array::as_bytes));
                Ok(())
            },
        };
        let ring = std::iter::repeat_with(Window::default).take(5).collect();
        overlap(rows, 25, ring, stages).expect("nothing fails");
        assert!(written == whole.expect("the whole").as_bytes(), "{}", device.info());
    }
}
