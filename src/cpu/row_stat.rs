//! The row statistic: what every row reduction is made of.

use crate::dtype::Element;

/// The maximum of some elements, and the sum of `exp(x - max)` over all of them but one that holds
/// the maximum.
///
/// An associative value: statistics of parts combine to the statistic of the whole, whatever the
/// parts. Leaving the maximum's own 1 out of the sum keeps the digits of a row that one element
/// dominates; formulas (1) to (3) of `docs/NUMERICS.md`, and `acc_row_stat.wgsl` for the shaders'
/// twin.
///
/// ```
/// use surprisal::cpu::RowStat;
///
/// let a = RowStat::of(&[1.0f32, 2.0]);
/// let b = RowStat::of(&[0.5f32]);
/// let whole = RowStat::of(&[1.0f32, 2.0, 0.5]);
/// assert_eq!(a.combine(b).max(), whole.max());
/// assert!((a.combine(b).lse() - whole.lse()).abs() < 1e-6);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RowStat {
    max: f32,
    rest: f32,
}

/// Elements summed in one run; longer rows are cut in two, so that the sum's error grows with the
/// logarithm of the length.
const RUN: usize = 256;
/// Independent sums in a run.
const LANES: usize = 8;

impl RowStat {
    /// The statistic of no elements. Its maximum is finite, so that no infinity is subtracted from
    /// another, and its sum of exponentials, `1 + rest`, is 0.
    pub const IDENTITY: Self = Self { max: f32::MIN, rest: -1.0 };

    pub(crate) const fn new(max: f32, rest: f32) -> Self {
        Self { max, rest }
    }

    /// The statistic of `row`.
    pub fn of<T: Element>(row: &[T]) -> Self {
        if row.len() > RUN {
            let (a, b) = row.split_at((row.len() / 2).next_multiple_of(RUN));
            return Self::of(a).combine(Self::of(b));
        }
        if row.len() < 4 * LANES {
            return row.iter().fold(Self::IDENTITY, |stat, x| stat.push(x.to_f32()));
        }
        let mut lanes = [Self::IDENTITY; LANES];
        for chunk in row.chunks(LANES) {
            for (lane, x) in lanes.iter_mut().zip(chunk) {
                *lane = lane.push(x.to_f32());
            }
        }
        lanes.into_iter().fold(Self::IDENTITY, Self::combine)
    }

    /// The statistic with one more element.
    #[must_use]
    pub fn push(self, x: f32) -> Self {
        // The equality keeps a second +inf from making inf - inf.
        let e = if x == self.max { 1.0 } else { (-(x - self.max).abs()).exp() };
        if x > self.max {
            Self { max: x, rest: e + self.rest * e }
        } else {
            Self { max: self.max, rest: self.rest + e }
        }
    }

    /// The statistic of both parts together.
    #[must_use]
    pub fn combine(self, other: Self) -> Self {
        self.combine_scaled(other, 1.0)
    }

    /// [`Self::combine`] where `rest` is a sum of `exp(scale (x - max))`.
    pub(crate) fn combine_scaled(self, other: Self, scale: f32) -> Self {
        let (top, low) = if self.max >= other.max { (self, other) } else { (other, self) };
        let e = if low.max == top.max { 1.0 } else { (scale * (low.max - top.max)).exp() };
        Self { max: top.max, rest: top.rest + (1.0 + low.rest) * e }
    }

    /// The largest element; NaN is passed over.
    pub fn max(self) -> f32 {
        self.max
    }

    /// The sum of `exp(x - max)` over all elements but one that holds the maximum; NaN if any
    /// element was, -1 if there were none (or only -inf).
    pub fn rest(self) -> f32 {
        self.rest
    }

    /// Whether a softmax of these elements exists: not all of them -inf, none +inf or NaN.
    pub fn is_defined(self) -> bool {
        self.max != f32::INFINITY && 1.0 + self.rest > 0.0
    }

    /// The log-sum-exp, `max + log1p(rest)`.
    pub fn lse(self) -> f32 {
        self.lse_scaled(1.0)
    }

    /// [`Self::lse`] of `scale x` where `rest` is a sum of `exp(scale (x - max))`.
    pub(crate) fn lse_scaled(self, scale: f32) -> f32 {
        if self.rest.is_nan() {
            f32::NAN
        } else if self.max == f32::INFINITY {
            f32::INFINITY
        } else {
            // log1p(-1) is -inf: the log-sum-exp of nothing.
            scale * self.max + self.rest.ln_1p()
        }
    }

    /// `-log p` of an element: two terms of one sign.
    pub fn nll(self, x: f32) -> f32 {
        if self.is_defined() { (self.max - x) + self.rest.ln_1p() } else { f32::NAN }
    }

    /// The sum of exponentials, `1 + rest`, or NaN where there is no softmax.
    pub(crate) fn sum(self) -> f32 {
        if self.is_defined() { 1.0 + self.rest } else { f32::NAN }
    }
}

#[cfg(test)]
mod tests {
    use super::RowStat;

    #[test]
    fn identity_changes_nothing() {
        let row = [f32::NEG_INFINITY, 3.0, -1.5, 3.0];
        let stat = RowStat::of(&row);
        assert_eq!(stat.combine(RowStat::IDENTITY), stat);
        assert_eq!(RowStat::IDENTITY.combine(stat), stat);
        assert_eq!(RowStat::of(&[f32::INFINITY]).combine(RowStat::IDENTITY).lse(), f32::INFINITY);
    }

    #[test]
    fn two_infinities_stay_infinite_and_nan_wins() {
        let two = RowStat::of(&[f32::INFINITY, 1.0, f32::INFINITY]);
        assert_eq!(two.lse(), f32::INFINITY);
        assert_eq!(two.combine(two).lse(), f32::INFINITY);
        assert!(two.push(f32::NAN).lse().is_nan());
        assert!(RowStat::of(&[f32::NAN, 1.0]).lse().is_nan());
        assert_eq!(RowStat::of(&[f32::NEG_INFINITY; 3]).lse(), f32::NEG_INFINITY);
    }

    #[test]
    fn ties_leave_one_instance_out() {
        for length in [2usize, 31, 32, 100, 300, 5000] {
            assert_eq!(RowStat::of(&vec![2.5f32; length]).rest(), (length - 1) as f32);
        }
    }
}
