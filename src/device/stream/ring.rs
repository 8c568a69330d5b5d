//! Reading, computing, collecting and writing at once: threads and a ring of windows between them.

use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

/// What is done with each window, in this order: a stage works on a window while the one before it
/// works on the next.
#[derive(Debug)]
pub struct Stages<R, C, K, W> {
    /// Fills a window with these rows.
    pub read: R,
    /// Turns what was read into what is to be written, or [hands it to a
    /// device](crate::stream::Streaming::begin). Runs on the calling thread.
    pub compute: C,
    /// [Waits for the device](crate::stream::Pending::wait), if there is anything to wait for.
    pub collect: K,
    /// Puts it away.
    pub write: W,
}

/// How long each stage was at work; what it waited for the others is not in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StageTimes {
    /// Reading.
    pub read: Duration,
    /// Computing.
    pub compute: Duration,
    /// Waiting for what was computed, and copying it back.
    pub collect: Duration,
    /// Writing.
    pub write: Duration,
}

/// Takes `rows` rows, `window_rows` at a time, through four stages that work at once, in windows
/// whose memory goes round: as many as `ring` holds are alive.
///
/// With one for each stage that takes its time no stage has to wait for memory. The first stage that fails ends the others,
/// after the windows that they are at.
///
/// ```
/// use surprisal::stream::{Stages, overlap};
///
/// let numbers: Vec<u64> = (0..10).collect();
/// let mut squares = Vec::new();
/// let stages = Stages {
///     read: |rows: std::ops::Range<usize>, window: &mut Vec<u64>| {
///         window.clear();
///         window.extend(&numbers[rows]);
///         Ok::<(), String>(())
///     },
///     compute: |_, window: &mut Vec<u64>| {
///         window.iter_mut().for_each(|x| *x *= *x);
///         Ok(())
///     },
///     collect: |_, _: &mut Vec<u64>| Ok(()),
///     write: |_, window: &mut Vec<u64>| {
///         squares.extend_from_slice(window);
///         Ok(())
///     },
/// };
/// overlap(10, 3, vec![Vec::new(), Vec::new(), Vec::new()], stages)?;
/// assert_eq!(squares[9], 81);
/// # Ok::<(), String>(())
/// ```
///
/// # Errors
/// What the first stage says that fails.
///
/// # Panics
/// If a stage panics; the others have ended then. If there are rows and no windows in the ring.
pub fn overlap<T, E, R, C, K, W>(
    rows: usize,
    window_rows: usize,
    ring: Vec<T>,
    stages: Stages<R, C, K, W>,
) -> Result<StageTimes, E>
where
    T: Send,
    E: Send,
    R: FnMut(Range<usize>, &mut T) -> Result<(), E> + Send,
    C: FnMut(Range<usize>, &mut T) -> Result<(), E>,
    K: FnMut(Range<usize>, &mut T) -> Result<(), E> + Send,
    W: FnMut(Range<usize>, &mut T) -> Result<(), E> + Send,
{
    assert!(rows == 0 || !ring.is_empty(), "a ring without windows");
    let window_rows = window_rows.max(1);
    // No stage waits to hand on: there are never more windows under way than the ring has.
    let room = ring.len().max(1);
    let (to_read, free) = sync_channel(room);
    let (to_compute, read) = sync_channel(room);
    let (to_collect, computed) = sync_channel(room);
    let (to_write, collected) = sync_channel(room);
    for window in ring {
        // The receiver is right here.
        let _ = to_read.send((0..0, window));
    }
    let Stages { read: mut reading, compute, collect, write } = stages;
    thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let mut next = (0..rows).step_by(window_rows);
            let range = move || next.next().map(|first| first..rows.min(first + window_rows));
            let mut range = range;
            let mut busy = Duration::ZERO;
            while let Some(rows) = range() {
                let Ok((_, mut window)) = free.recv() else { break };
                let clock = Instant::now();
                reading(rows.clone(), &mut window)?;
                busy += clock.elapsed();
                if to_compute.send((rows, window)).is_err() {
                    break;
                }
            }
            Ok(busy)
        });
        let collector = scope.spawn(move || pass_on(&computed, &to_write, collect));
        let writer = scope.spawn(move || pass_on(&collected, &to_read, write));
        let computed = pass_on(&read, &to_collect, compute);
        // What is left in between is dropped, and so the others end.
        drop((read, to_collect));
        let [reader, collector, writer] = [reader, collector, writer].map(joined);
        // The later stage failed first: it ended the ones before it.
        let write = writer?;
        let collect = collector?;
        let compute = computed?;
        Ok(StageTimes { read: reader?, compute, collect, write })
    })
}

/// What a thread returned, or its panic.
fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

type Window<T> = (Range<usize>, T);

fn pass_on<T, E>(
    from: &Receiver<Window<T>>,
    to: &SyncSender<Window<T>>,
    mut stage: impl FnMut(Range<usize>, &mut T) -> Result<(), E>,
) -> Result<Duration, E> {
    let mut busy = Duration::ZERO;
    while let Ok((rows, mut window)) = from.recv() {
        let clock = Instant::now();
        stage(rows.clone(), &mut window)?;
        busy += clock.elapsed();
        // A reader that is through takes no more windows back.
        let _ = to.send((rows, window));
    }
    Ok(busy)
}
