//! How long the stages of a run took.

use std::time::Duration;

use crate::clock::Clock;

/// How long the stages of a run took, by the wall clock. On the CPU everything is compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Timings {
    /// Host memory to device memory.
    pub upload: Duration,
    /// Preparing the call, which compiles what is used for the first time, and running it.
    pub compute: Duration,
    /// Device memory to host memory.
    pub download: Duration,
}

impl Timings {
    #[cfg(feature = "gpu")]
    pub(crate) fn add(&mut self, more: &Self) {
        self.upload += more.upload;
        self.compute += more.compute;
        self.download += more.download;
    }

    pub(crate) fn compute<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let clock = Clock::start();
        let result = work();
        self.compute += clock.elapsed();
        result
    }
}
