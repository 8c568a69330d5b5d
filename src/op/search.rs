//! The first element of a matrix that an operation cannot take. Nearly always there is none: that is told
//! at the rate of the memory, on all threads.

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
        Values::F32(v) => first(v, |x| (0.0..=1.0).contains(&x) || takes_nan && x.is_nan(), counts),
        Values::F64(v) => first(v, |x| (0.0..=1.0).contains(&x) || takes_nan && x.is_nan(), counts),
        Values::F16(v) => {
            first(bytemuck::cast_slice(v), |x| bits_in_unit(x, 0x3c00, 0x7c00, takes_nan), counts)
        }
        Values::Bf16(v) => {
            first(bytemuck::cast_slice(v), |x| bits_in_unit(x, 0x3f80, 0x7f80, takes_nan), counts)
        }
    }
}

/// Whether 16 bits are of a number in [0, 1]: those of numbers from 0 up are in their order.
fn bits_in_unit(bits: u16, one: u16, infinity: u16, takes_nan: bool) -> bool {
    const MINUS_ZERO: u16 = 0x8000;
    bits <= one || bits == MINUS_ZERO || takes_nan && bits & !MINUS_ZERO > infinity
}

/// The first element that does not fit and counts.
fn first<T: Copy + Sync>(
    values: &[T],
    fits: impl Fn(T) -> bool + Sync,
    counts: impl Fn(usize) -> bool + Sync,
) -> Option<usize> {
    let all_fit = |run: &[T]| run.iter().fold(0, |n, &x| n + u32::from(!fits(x))) == 0;
    let in_block = |(number, block): (usize, &[T])| {
        if block.chunks(RUN).all(all_fit) {
            return None;
        }
        let bad = |i: &usize| !fits(block[*i]) && counts(number * BLOCK + *i);
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

    use super::{BLOCK, Nan, bits_in_unit, no_probability};
    use crate::matrix::Matrix;

    #[test]
    fn every_pattern_of_16_bits() {
        for bits in 0..=u16::MAX {
            let half = f16::from_bits(bits).to_f32();
            let brain = bf16::from_bits(bits).to_f32();
            for takes_nan in [false, true] {
                let fits = |x: f32| (0.0..=1.0).contains(&x) || takes_nan && x.is_nan();
                assert_eq!(bits_in_unit(bits, 0x3c00, 0x7c00, takes_nan), fits(half), "{half}");
                assert_eq!(bits_in_unit(bits, 0x3f80, 0x7f80, takes_nan), fits(brain), "{brain}");
            }
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
