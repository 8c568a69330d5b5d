//! The first element of a matrix that an operation cannot take. Nearly always there is none: that is told
//! at the rate of the memory, on all threads.

#![expect(
    clippy::inline_always,
    reason = "the CPU path inlines it where it has enabled its instruction set"
)]

#[cfg(feature = "rayon")]
use rayon::prelude::*;

use crate::matrix::{Matrix, Values};

/// Elements that a thread goes through at a time, and of which one by one is looked at where some do not fit.
const BLOCK: usize = 1 << 16;
/// Elements that are counted before the count is looked at, so that vectors do it.
const RUN: usize = 1 << 10;

/// What NaN is where probabilities are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nan {
    /// An error.
    Refused,
    /// A number that makes its row NaN.
    Taken,
}

/// The first element outside [0, 1], of those that count, told by their places.
pub(super) fn no_probability(
    matrix: &Matrix<'_>,
    nan: Nan,
    counts: impl Fn(usize) -> bool + Sync,
) -> Option<usize> {
    let takes_nan = nan == Nan::Taken;
    match matrix.values() {
        Values::F32(v) => first(bytemuck::cast_slice(v), Unit::F32, takes_nan, counts),
        Values::F64(v) => first(bytemuck::cast_slice(v), Unit::F64, takes_nan, counts),
        Values::F16(v) => first(bytemuck::cast_slice(v), Unit::F16, takes_nan, counts),
        Values::Bf16(v) => first(bytemuck::cast_slice(v), Unit::BF16, takes_nan, counts),
    }
}

/// The bits of 1 and of infinity. Those of numbers from 0 up are in their order, and those of the others
/// are negative.
#[derive(Debug, Clone, Copy)]
struct Unit<B> {
    one: B,
    infinity: B,
}

impl Unit<i16> {
    const F16: Self = Self { one: 0x3c00, infinity: 0x7c00 };
    const BF16: Self = Self { one: 0x3f80, infinity: 0x7f80 };
}

impl Unit<i32> {
    const F32: Self = Self { one: 0x3f80_0000, infinity: 0x7f80_0000 };
}

impl Unit<i64> {
    const F64: Self = Self { one: 0x3ff0_0000_0000_0000, infinity: 0x7ff0_0000_0000_0000 };
}

/// Whether all are in [0, 1]. A -0 may be called odd, which [`no_probability`] does not.
#[inline(always)]
pub(crate) fn are_plain_probs(values: &[f32]) -> bool {
    Bits::all_in(bytemuck::cast_slice::<_, i32>(values), Unit::F32)
}

/// A number's bits.
trait Bits: Copy + Sync {
    /// Whether all are of numbers in [0, 1]; -0 is passed over.
    fn all_in(run: &[Self], unit: Unit<Self>) -> bool;
    fn is_in(self, unit: Unit<Self>, takes_nan: bool) -> bool;
}

macro_rules! bits {
    ($($bits:ty),*) => {$(
        impl Bits for $bits {
            #[inline(always)]
            fn all_in(run: &[Self], unit: Unit<Self>) -> bool {
                // One sign for all of them: that of a number below 0, or of its distance from 1.
                run.iter().fold(0, |all, &x| all | x | unit.one.wrapping_sub(x)) >= 0
            }

            fn is_in(self, unit: Unit<Self>, takes_nan: bool) -> bool {
                let is_nan = self & Self::MAX > unit.infinity;
                (0..=unit.one).contains(&self) || self == Self::MIN || takes_nan && is_nan
            }
        }
    )*};
}
bits!(i16, i32, i64);

/// The first element that does not fit and counts.
fn first<B: Bits>(
    values: &[B],
    unit: Unit<B>,
    takes_nan: bool,
    counts: impl Fn(usize) -> bool + Sync,
) -> Option<usize> {
    let in_block = |(number, block): (usize, &[B])| {
        if block.chunks(RUN).all(|run| B::all_in(run, unit)) {
            return None;
        }
        let bad = |i: &usize| !block[*i].is_in(unit, takes_nan) && counts(number * BLOCK + *i);
        (0..block.len()).find(bad).map(|i| number * BLOCK + i)
    };
    #[cfg(feature = "rayon")]
    if values.len() > BLOCK {
        return values.par_chunks(BLOCK).enumerate().filter_map(in_block).find_first(|_| true);
    }
    values.chunks(BLOCK).enumerate().find_map(in_block)
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::{BLOCK, Bits as _, Nan, Unit, no_probability};
    use crate::matrix::Matrix;

    #[test]
    fn every_pattern_of_16_bits() {
        for bits in 0..=u16::MAX {
            let half = f16::from_bits(bits).to_f32();
            let brain = bf16::from_bits(bits).to_f32();
            let signed = bits.cast_signed();
            for takes_nan in [false, true] {
                let fits = |x: f32| (0.0..=1.0).contains(&x) || takes_nan && x.is_nan();
                assert_eq!(signed.is_in(Unit::F16, takes_nan), fits(half), "{half}");
                assert_eq!(signed.is_in(Unit::BF16, takes_nan), fits(brain), "{brain}");
            }
            // Whole runs are passed over where all of it fits, and -0 is looked at.
            let is_plain = |x: f32| (0.0..=1.0).contains(&x) && x.is_sign_positive();
            let all_in = |unit| i16::all_in(&[0, signed, 0], unit);
            assert_eq!([all_in(Unit::F16), all_in(Unit::BF16)], [half, brain].map(is_plain));
        }
    }

    #[test]
    fn numbers_around_0_and_1() {
        let above = f32::from_bits(1.0f32.to_bits() + 1);
        let tiny = f32::from_bits(1);
        for x in [0.0, -0.0, tiny, 1.0, above, -tiny, -1.0, f32::INFINITY, f32::NEG_INFINITY] {
            let fits = (0.0..=1.0).contains(&x);
            let (short, long) = ([0.5, x], [0.5, f64::from(x)]);
            let [short, long] = [Matrix::new(&short, 1, 2), Matrix::new(&long, 1, 2)];
            for matrix in [short, long].map(|matrix| matrix.expect("its shape")) {
                let found = no_probability(&matrix, Nan::Taken, |_| true);
                assert_eq!(found, (!fits).then_some(1), "{x}");
            }
        }
        for nan in [f32::NAN, -f32::NAN] {
            let values = [nan];
            let matrix = Matrix::new(&values, 1, 1).expect("its shape");
            assert_eq!(no_probability(&matrix, Nan::Taken, |_| true), None);
            assert_eq!(no_probability(&matrix, Nan::Refused, |_| true), Some(0));
        }
    }

    #[test]
    fn the_first_of_several_that_counts() {
        let classes = 7;
        let rows = 3 * BLOCK / classes;
        let mut values = vec![0.5f32; rows * classes];
        for i in [5, BLOCK + 3, 2 * BLOCK + 9, 2 * BLOCK + 10] {
            values[i] = 1.5;
        }
        let matrix = Matrix::new(&values, rows, classes).expect("its shape");
        let found =
            |from: usize| no_probability(&matrix, Nan::Refused, |i| i / classes >= from / classes);
        assert_eq!(found(0), Some(5));
        assert_eq!(found(classes), Some(BLOCK + 3));
        assert_eq!(found(BLOCK + 3 + classes), Some(2 * BLOCK + 9));
        assert_eq!(found(rows * classes), None);
    }
}
