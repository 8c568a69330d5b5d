//! Timing in turns.

use std::time::Instant;

use crate::bench::case::Patience;
use crate::error::Result;

/// A sample lasts at least this long, in seconds, if it takes no more than `MOST_CALLS`.
const LEAST_SAMPLE: f64 = 1e-3;
const MOST_CALLS: u32 = 64;

/// Who is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    /// The CPU path.
    Cpu,
    /// The reference.
    Reference,
    /// The GPU, on data that is there.
    Resident,
    /// The GPU, from host memory to host memory.
    HostToHost,
    /// A copy of the matrix in host memory.
    HostCopy,
    /// Reading the matrix in host memory.
    HostRead,
    /// A copy of the matrix in the GPU's memory.
    GpuCopy,
}

/// What a time goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    Wall,
    /// The GPU's own, at the ends of a pass.
    Device,
}

/// Seconds of one call.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sample {
    pub(crate) wall: f64,
    /// By the GPU's own clock.
    pub(crate) device: Option<f64>,
    /// Recording the call.
    pub(crate) encode: Option<f64>,
    /// Upload, compute, download.
    pub(crate) stages: Option<[f64; 3]>,
}

type Run<'a> = Box<dyn FnMut(u32) -> Result<Sample> + 'a>;

/// Somebody who can do some calls one after another.
pub(crate) struct Entrant<'a> {
    pub(crate) who: Who,
    run: Run<'a>,
}

impl<'a> Entrant<'a> {
    pub(crate) fn new(who: Who, run: impl FnMut(u32) -> Result<Sample> + 'a) -> Self {
        Self { who, run: Box::new(run) }
    }
}

/// The samples of one entrant, one a round.
#[derive(Debug)]
pub(crate) struct Samples {
    pub(crate) who: Who,
    pub(crate) rounds: Vec<Sample>,
}

impl Samples {
    /// Whether the GPU's clock ran in every round.
    pub(crate) fn has_device_clock(&self) -> bool {
        self.rounds.iter().all(|sample| sample.device.is_some())
    }

    /// The clock that the seconds go by, if `clock` is wanted.
    pub(crate) fn clock(&self, clock: Clock) -> Clock {
        if self.has_device_clock() { clock } else { Clock::Wall }
    }

    /// The seconds of each round.
    pub(crate) fn seconds(&self, clock: Clock) -> Vec<f64> {
        let clock = self.clock(clock);
        let seconds = |sample: &Sample| match sample.device {
            Some(device) if clock == Clock::Device => device,
            _ => sample.wall,
        };
        self.rounds.iter().map(seconds).collect()
    }

    pub(crate) fn median(&self, value: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        median(self.rounds.iter().filter_map(value))
    }
}

/// Each round times everybody once, one after another, in an order that moves on with the rounds: a
/// machine that is now fast and now slow is so for all of them.
pub(crate) fn rounds(entrants: &mut [Entrant<'_>], mut patience: Patience) -> Result<Vec<Samples>> {
    let mut calls = Vec::with_capacity(entrants.len());
    for entrant in &mut *entrants {
        // The first call of all warms up.
        (entrant.run)(1)?;
        let sample = (entrant.run)(1)?;
        let once = sample.device.unwrap_or(sample.wall);
        let enough = |calls: &u32| f64::from(*calls) * once >= LEAST_SAMPLE;
        calls.push((1..MOST_CALLS).find(enough).unwrap_or(MOST_CALLS));
    }
    let mut all: Vec<_> =
        entrants.iter().map(|it| Samples { who: it.who, rounds: Vec::new() }).collect();
    let start = Instant::now();
    let count = entrants.len();
    for round in 0..patience.most_rounds {
        for place in 0..count {
            let index = (place + round) % count;
            all[index].rounds.push((entrants[index].run)(calls[index])?);
        }
        patience.least_rounds = patience.least_rounds.saturating_sub(1);
        if patience.least_rounds == 0 && start.elapsed().as_secs_f64() > patience.seconds {
            break;
        }
    }
    Ok(all)
}

/// The median, if there are any.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.len().checked_sub(1)? / 2, values.len() / 2);
    Some(f64::midpoint(values[low], values[high]))
}
