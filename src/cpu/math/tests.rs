//! Each function against f64's, on each instruction set that this machine has.

use rayon::prelude::*;

use super::{exp, exp_for_16_bits, exp_of_negative, log, log1p, tanh};
use crate::cpu::InstructionSet;
use crate::cpu::simd::{Job, MAX_LANES, Simd, dispatch};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Function {
    Exp,
    ExpOfNegative,
    ExpFor16Bits,
    Log,
    Log1p,
    Tanh,
}

impl Function {
    const ALL: [Self; 6] =
        [Self::Exp, Self::ExpOfNegative, Self::ExpFor16Bits, Self::Log, Self::Log1p, Self::Tanh];

    fn of_f64(self, x: f64) -> f64 {
        match self {
            Self::Exp | Self::ExpOfNegative | Self::ExpFor16Bits => x.exp(),
            Self::Log => x.ln(),
            Self::Log1p => x.ln_1p(),
            Self::Tanh => x.tanh(),
        }
    }

    /// What `docs/NUMERICS.md` promises, in ulp.
    fn bound(self) -> f64 {
        if self == Self::ExpFor16Bits { 128.0 } else { 2.0 }
    }

    /// Whether it is for this number.
    fn takes(self, x: f32) -> bool {
        !matches!(self, Self::ExpOfNegative | Self::ExpFor16Bits) || x.is_nan() || x <= 120.0
    }
}

/// Replaces some numbers by what a function makes of them.
struct Apply<'a>(Function, &'a mut [f32]);

impl Job for Apply<'_> {
    type Output = ();

    fn run<S: Simd>(self, s: S) {
        let Self(function, x) = self;
        s.enable(
            #[inline(always)]
            || {
                for x in x.chunks_exact_mut(S::LANES) {
                    let v = s.load(x);
                    let y = match function {
                        Function::Exp => exp(s, v),
                        Function::ExpOfNegative => exp_of_negative(s, v),
                        Function::ExpFor16Bits => exp_for_16_bits(s, v),
                        Function::Log => log(s, v),
                        Function::Log1p => log1p(s, v),
                        Function::Tanh => tanh(s, v),
                    };
                    s.store(x, y);
                }
            },
        );
    }
}

/// How far `got` is from `want`, in units of the last place that f32 has there; nothing if one of
/// them is NaN or infinite and the other is not.
fn ulps(got: f32, want: f64) -> Option<f64> {
    let rounded = want as f32;
    if want.is_nan() || rounded.is_infinite() {
        let is_same = got.to_bits() == rounded.to_bits() || (got.is_nan() && want.is_nan());
        return is_same.then_some(0.0);
    }
    let exponent = (want.abs().to_bits() >> 52).max(1023 - 126) - 23;
    let last_place = f64::from_bits(exponent << 52);
    Some((f64::from(got) - want).abs() / last_place).filter(|_| got.is_finite())
}

/// The worst of all numbers whose bits are `step` apart and have this first byte.
fn worst_of(set: InstructionSet, function: Function, step: usize, first: u8) -> (f64, f32) {
    let mut worst = (0.0, 0.0);
    let first = u32::from(first) << 24;
    let mut bits = (first..=first | 0x00ff_ffff).step_by(step).fuse();
    loop {
        let x: Vec<f32> = bits.by_ref().take(4096).map(f32::from_bits).collect();
        if x.is_empty() {
            return worst;
        }
        let mut y = x.clone();
        y.resize(x.len().next_multiple_of(MAX_LANES), 0.0);
        dispatch(set, Apply(function, &mut y));
        for (&x, &y) in x.iter().zip(&y).filter(|(x, _)| function.takes(**x)) {
            let want = function.of_f64(f64::from(x));
            let off = ulps(y, want)
                .unwrap_or_else(|| panic!("{function:?}({x:e}) is {y:e}, not {want:e}, on {set}"));
            if off > worst.0 {
                worst = (off, x);
            }
        }
    }
}

fn check(set: InstructionSet, step: usize) {
    for function in Function::ALL {
        let all = (0..=u8::MAX).into_par_iter().map(|first| worst_of(set, function, step, first));
        let larger = |a: (f64, f32), b: (f64, f32)| if b.0 > a.0 { b } else { a };
        let (off, x) = all.reduce(|| (0.0, 0.0), larger);
        println!("{set}: {function:?} is off by {off:.3} ulp, at {x:e}");
        assert!(off <= function.bound(), "{function:?}({x:e}) is off by {off} ulp on {set}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "a million numbers each")]
fn functions_are_good_to_two_ulp() {
    for set in InstructionSet::ALL.into_iter().filter(|set| set.is_available()) {
        check(set, 4099);
    }
}

/// Five minutes a set with optimisation on two cores. NEON computes as AVX2 does.
#[test]
#[ignore = "every f32: `cargo test --release --lib every_number -- --ignored --nocapture`"]
fn functions_are_good_to_two_ulp_of_every_number() {
    for set in [InstructionSet::Avx2, InstructionSet::best()] {
        check(if set.is_available() { set } else { InstructionSet::Portable }, 1);
    }
}

#[test]
fn special_values() {
    let (nan, inf, low) = (f32::NAN, f32::INFINITY, f32::NEG_INFINITY);
    let cases = [
        (
            Function::Exp,
            [(low, 0.0), (inf, inf), (nan, nan), (0.0, 1.0), (-1e30, 0.0), (89.0, inf)],
        ),
        (Function::Log, [(0.0, low), (inf, inf), (nan, nan), (1.0, 0.0), (-1.0, nan), (low, nan)]),
        (
            Function::Log1p,
            [(-1.0, low), (inf, inf), (nan, nan), (0.0, 0.0), (-2.0, nan), (low, nan)],
        ),
        (
            Function::Tanh,
            [(0.0, 0.0), (inf, 1.0), (low, -1.0), (nan, nan), (99.0, 1.0), (-99.0, -1.0)],
        ),
    ];
    for set in InstructionSet::ALL.into_iter().filter(|set| set.is_available()) {
        for (function, values) in cases {
            for (x, want) in values {
                let mut y = [x; MAX_LANES];
                dispatch(set, Apply(function, &mut y));
                let is_same = y.iter().all(|y| *y == want || (y.is_nan() && want.is_nan()));
                assert!(is_same, "{function:?}({x}) is {}, not {want}, on {set}", y[0]);
            }
        }
    }
}
