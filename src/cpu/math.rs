//! Elementary functions of vectors, good to 2 ulp; `docs/NUMERICS.md` says how the polynomials were
//! found.

use crate::cpu::simd::Simd;

/// ln 2 in two parts; the first has so few digits that whole multiples of it are exact.
const LN_2_HIGH: f32 = 355.0 / 512.0;
const LN_2_LOW: f32 = -2.121_944_4e-4;
/// Adding it leaves a whole number in the last bits: 1.5 * 2^23.
const ROUND: f32 = 12_582_912.0;

/// `c[0] + c[1] x + c[2] x^2 + ...`
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(s: S, x: S::F, c: [f32; N]) -> S::F {
    let mut sum = s.splat(c[N - 1]);
    for &c in c[..N - 1].iter().rev() {
        sum = s.fma(sum, x, s.splat(c));
    }
    sum
}

/// e^x.
///
/// 0 for -inf, +inf for +inf, NaN for NaN; results below 2^-126 are subnormal numbers or 0.
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::F) -> S::F {
    exp_of_negative(s, s.min(s.splat(120.0), x))
}

/// e^x of numbers that are not above 120: one instruction less.
#[inline(always)]
pub(crate) fn exp_of_negative<S: Simd>(s: S, x: S::F) -> S::F {
    // Below this it is 0; NaN is kept.
    let x = s.max(s.splat(-120.0), x);
    if S::HAS_LOOKUP { exp_by_table(s, x) } else { exp_by_polynomial(s, x) }
}

/// 2^(i/16).
const POWERS: [f32; 16] = [
    1.0,
    1.044_273_7,
    1.090_507_7,
    1.138_788_6,
    1.189_207_1,
    1.241_857_8,
    1.296_839_6,
    1.354_255_6,
    std::f32::consts::SQRT_2,
    1.476_826_2,
    1.542_210_8,
    1.610_490_3,
    1.681_792_9,
    1.756_252_2,
    1.834_008_1,
    1.915_206_6,
];

/// e^x = 2^floor(n) 2^(i/16) e^t, with n in sixteenths.
#[inline(always)]
fn exp_by_table<S: Simd>(s: S, x: S::F) -> S::F {
    let round = s.splat(ROUND / 16.0);
    let sixteenths = s.fma(x, s.splat(std::f32::consts::LOG2_E), round);
    let n = s.sub(sixteenths, round);
    let power = s.lookup(&POWERS, sixteenths);
    let t = s.fma(n, s.splat(-LN_2_HIGH), x);
    let t = s.fma(n, s.splat(-LN_2_LOW), t);
    // |t| <= ln(2) / 32; off by 2^-26.7 relatively.
    let tail = polynomial(s, t, [1.0, 0.5, 0.166_666_67]);
    s.scale(s.fma(s.mul(power, t), tail, power), n)
}

#[inline(always)]
fn exp_by_polynomial<S: Simd>(s: S, x: S::F) -> S::F {
    let n = s.sub(s.fma(x, s.splat(std::f32::consts::LOG2_E), s.splat(ROUND)), s.splat(ROUND));
    let t = s.fma(n, s.splat(-LN_2_HIGH), x);
    let t = s.fma(n, s.splat(-LN_2_LOW), t);
    // |t| <= ln(2) / 2; off by 2^-28.3 relatively.
    let tail = polynomial(
        s,
        t,
        [0.499_999_94, 0.166_665_2, 0.041_668_393, 0.008_368_781, 0.001_381_446_6],
    );
    let e = s.fma(s.fma(tail, t, s.splat(1.0)), t, s.splat(1.0));
    s.scale(e, n)
}

/// The same, off by 2^-17 relatively, for what is stored in 16 bits: three instructions less.
#[inline(always)]
pub(crate) fn exp_for_16_bits<S: Simd>(s: S, x: S::F) -> S::F {
    let x = s.max(s.splat(-120.0), x);
    let n = s.sub(s.fma(x, s.splat(std::f32::consts::LOG2_E), s.splat(ROUND)), s.splat(ROUND));
    let t = s.fma(n, s.splat(-std::f32::consts::LN_2), x);
    let tail = polynomial(s, t, [0.500_051_4, 0.167_536_87, 0.041_276_99]);
    let e = s.fma(s.fma(tail, t, s.splat(1.0)), t, s.splat(1.0));
    s.scale(e, n)
}

/// The logarithm of `m * 2^k`, `m` in `[sqrt(1/2), sqrt(2))`, given `f = m - 1`, with something small
/// added.
#[inline(always)]
fn log_parts<S: Simd>(s: S, f: S::F, k: S::F, more: S::F) -> S::F {
    // log(1 + f) = f - f^2 / 2 + f^3 q(f); off by 2^-27.3 relatively.
    let q = polynomial(
        s,
        f,
        [
            0.333_333_3,
            -0.250_008_26,
            0.200_012_36,
            -0.166_231_44,
            0.142_013_68,
            -0.131_620_03,
            0.127_654_27,
            -0.076_343_87,
        ],
    );
    let square = s.mul(f, f);
    let cube = s.mul(square, f);
    let low = s.fma(k, s.splat(LN_2_LOW), more);
    let low = s.fma(cube, q, low);
    let low = s.fma(square, s.splat(-0.5), low);
    s.fma(k, s.splat(LN_2_HIGH), s.add(f, low))
}

/// log(x).
///
/// -inf for 0, NaN for what is below 0, +inf for +inf, NaN for NaN.
#[inline(always)]
pub(crate) fn log<S: Simd>(s: S, x: S::F) -> S::F {
    let is_small = s.lt(x, s.splat(f32::MIN_POSITIVE));
    let normal = s.select(is_small, s.mul(x, s.splat(8_388_608.0)), x);
    let (m, k) = s.split(normal);
    let k = s.select(is_small, s.sub(k, s.splat(23.0)), k);
    let y = log_parts(s, s.sub(m, s.splat(1.0)), k, s.splat(0.0));
    edges(s, x, y)
}

/// log(1 + x).
///
/// -inf for -1, NaN for what is below -1, +inf for +inf, NaN for NaN.
#[inline(always)]
pub(crate) fn log1p<S: Simd>(s: S, x: S::F) -> S::F {
    let one = s.splat(1.0);
    let u = s.add(x, one);
    let (m, k) = s.split(u);
    let is_near = s.eq(k, s.splat(0.0));
    let f = s.select(is_near, x, s.sub(m, one));
    // What rounding took from 1 + x, over 1 + x. Where u is infinite or 0, `edges` has the answer.
    let lost = s.select(s.lt(x, one), s.sub(x, s.sub(u, one)), s.sub(one, s.sub(u, x)));
    let more = s.select(is_near, s.splat(0.0), s.div(lost, u));
    edges(s, u, log_parts(s, f, k, more))
}

/// A logarithm, with its values where there is none: -inf at 0, NaN below, +inf at +inf.
#[inline(always)]
fn edges<S: Simd>(s: S, x: S::F, y: S::F) -> S::F {
    let (zero, infinity) = (s.splat(0.0), s.splat(f32::INFINITY));
    let is_regular = s.lt(x, infinity);
    let y = s.select(is_regular, y, x);
    let y = s.select(s.lt(x, zero), s.splat(f32::NAN), y);
    s.select(s.eq(x, zero), s.splat(f32::NEG_INFINITY), y)
}

/// tanh(x).
#[inline(always)]
pub(crate) fn tanh<S: Simd>(s: S, x: S::F) -> S::F {
    let size = s.abs(x);
    // Near 0 by an odd polynomial, off by 2^-34.9 relatively.
    let square = s.mul(x, x);
    let p = polynomial(
        s,
        square,
        [-0.333_333_3, 0.133_332_94, -0.053_959_65, 0.021_782_827, -0.008_413_957, 0.002_395_822_2],
    );
    let near = s.fma(s.mul(square, size), p, size);
    let e = exp(s, s.add(size, size));
    let far = s.sub(s.splat(1.0), s.div(s.splat(2.0), s.add(e, s.splat(1.0))));
    let y = s.select(s.lt(size, s.splat(0.55)), near, far);
    s.select(s.lt(x, s.splat(0.0)), s.neg(y), y)
}

#[cfg(test)]
mod tests;
