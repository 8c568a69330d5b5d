//! How much goes into one submission: an estimate at first, then what the ones before it took.

use std::time::Duration;

use crate::gpu::caps::Tuning;

#[derive(Debug)]
pub(crate) struct Pace {
    budget: Duration,
    /// What the next submission may cost.
    room: f64,
}

impl Pace {
    pub(crate) fn new(tuning: &Tuning) -> Self {
        Self { budget: tuning.budget, room: tuning.elements_a_dispatch() as f64 }
    }

    /// How many dispatches of these costs go into the next submission: one, or as many as there is
    /// room for.
    pub(crate) fn take(&self, costs: impl IntoIterator<Item = u64>) -> usize {
        let mut sum = 0.0;
        let fits = |cost: &u64| {
            sum += *cost as f64;
            sum <= self.room
        };
        costs.into_iter().take_while(fits).count().max(1)
    }

    /// Learns from what a submission took. The room changes by no more than a factor of two at a time:
    /// a small submission says little, and a clock may not advance.
    pub(crate) fn learn(&mut self, cost: u64, took: Duration) {
        let fits = cost as f64 * (self.budget.as_secs_f64() / took.as_secs_f64());
        // Nothing in no time says nothing.
        if !fits.is_nan() {
            self.room = fits.clamp(self.room / 2.0, self.room * 2.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::iter::repeat_n;

    use super::*;

    /// A thousand elements a submission, at first.
    fn pace() -> Pace {
        Pace { budget: Duration::from_millis(500), room: 1000.0 }
    }

    #[test]
    fn a_submission_is_filled_and_never_empty() {
        assert_eq!(pace().take([400, 400, 400]), 2);
        assert_eq!(pace().take([500, 500, 1]), 2);
        assert_eq!(pace().take([5000, 1]), 1);
        assert_eq!(pace().take([0, 0, 0]), 3);
    }

    #[test]
    fn submissions_become_as_long_as_the_budget_and_no_longer() {
        // 10,000 elements a second: five times what was estimated.
        let mut pace = pace();
        let took = |cost: u64| Duration::from_secs_f64(cost as f64 / 10_000.0);
        let mut costs = Vec::new();
        for _ in 0..6 {
            let cost = 100 * pace.take([100; 1000]) as u64;
            assert!(took(cost) <= pace.budget, "{cost} elements");
            costs.push(cost);
            pace.learn(cost, took(cost));
        }
        assert_eq!(costs, [1000, 2000, 4000, 5000, 5000, 5000]);
    }

    #[test]
    fn a_slow_device_gets_less_each_time() {
        let mut pace = pace();
        for room in [500, 250, 125] {
            pace.learn(1000, Duration::from_secs(60));
            assert_eq!(pace.take(repeat_n(1, 1000)), room);
        }
    }

    #[test]
    fn a_clock_that_stands_still_does_no_harm() {
        let mut pace = pace();
        pace.learn(0, Duration::ZERO);
        assert_eq!(pace.take(repeat_n(1, 5000)), 1000);
        pace.learn(1000, Duration::ZERO);
        assert_eq!(pace.take(repeat_n(1, 5000)), 2000);
    }
}
