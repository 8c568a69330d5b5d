//! Plain loops over eight lanes, for the compiler to vectorise.

use half::{bf16, f16};

use super::Simd;

const LANES: usize = 8;
type V = [f32; LANES];

#[derive(Clone, Copy)]
pub(super) struct Portable;

#[inline(always)]
fn map(a: V, f: impl Fn(f32) -> f32) -> V {
    std::array::from_fn(|i| f(a[i]))
}

#[inline(always)]
fn map2(a: V, b: V, f: impl Fn(f32, f32) -> f32) -> V {
    std::array::from_fn(|i| f(a[i], b[i]))
}

/// 2^n for whole n that a normal number can hold.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n + 127).cast_unsigned() << 23)
}

impl Simd for Portable {
    type F = V;
    type M = [bool; LANES];
    const LANES: usize = LANES;

    #[inline(always)]
    fn enable<R>(self, f: impl FnOnce() -> R) -> R {
        f()
    }

    #[inline(always)]
    fn splat(self, x: f32) -> V {
        [x; LANES]
    }
    #[inline(always)]
    fn load(self, x: &[f32]) -> V {
        let x = &x[..LANES];
        std::array::from_fn(|i| x[i])
    }
    #[inline(always)]
    fn store(self, x: &mut [f32], v: V) {
        x[..LANES].copy_from_slice(&v);
    }
    #[inline(always)]
    fn load_f16(self, x: &[f16]) -> V {
        let x = &x[..LANES];
        std::array::from_fn(|i| x[i].to_f32())
    }
    #[inline(always)]
    fn store_f16(self, x: &mut [f16], v: V) {
        for (x, v) in x[..LANES].iter_mut().zip(v) {
            *x = f16::from_f32(v);
        }
    }
    #[inline(always)]
    fn load_bf16(self, x: &[bf16]) -> V {
        let x = &x[..LANES];
        std::array::from_fn(|i| f32::from_bits(u32::from(x[i].to_bits()) << 16))
    }
    #[inline(always)]
    fn store_bf16(self, x: &mut [bf16], v: V) {
        for (x, v) in x[..LANES].iter_mut().zip(v) {
            *x = bf16::from_f32(v);
        }
    }

    #[inline(always)]
    fn add(self, a: V, b: V) -> V {
        map2(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, a: V, b: V) -> V {
        map2(a, b, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, a: V, b: V) -> V {
        map2(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, a: V, b: V) -> V {
        map2(a, b, |a, b| a / b)
    }
    #[inline(always)]
    fn fma(self, a: V, b: V, c: V) -> V {
        // Two roundings: a fused multiply-add without an instruction for it is a call.
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    fn max(self, a: V, b: V) -> V {
        map2(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn min(self, a: V, b: V) -> V {
        map2(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn abs(self, x: V) -> V {
        map(x, f32::abs)
    }
    #[inline(always)]
    fn neg(self, x: V) -> V {
        map(x, |x| -x)
    }

    #[inline(always)]
    fn eq(self, a: V, b: V) -> Self::M {
        std::array::from_fn(|i| a[i] == b[i])
    }
    #[inline(always)]
    fn ne(self, a: V, b: V) -> Self::M {
        std::array::from_fn(|i| a[i] != b[i])
    }
    #[inline(always)]
    fn lt(self, a: V, b: V) -> Self::M {
        std::array::from_fn(|i| a[i] < b[i])
    }
    #[inline(always)]
    fn any(self, m: Self::M) -> bool {
        m.into_iter().fold(false, |any, m| any | m)
    }
    #[inline(always)]
    fn count(self, m: Self::M) -> u32 {
        m.into_iter().map(u32::from).sum()
    }
    #[inline(always)]
    fn select(self, m: Self::M, a: V, b: V) -> V {
        std::array::from_fn(|i| if m[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn add_where(self, m: Self::M, a: V, b: V) -> V {
        std::array::from_fn(|i| if m[i] { a[i] + b[i] } else { a[i] })
    }

    #[inline(always)]
    fn scale(self, x: V, n: V) -> V {
        // In two factors: the second alone may leave the normal numbers, and rounds.
        map2(x, n, |x, n| {
            let n = n as i32;
            let half = n >> 1;
            x * power_of_two(half) * power_of_two(n - half)
        })
    }
    #[inline(always)]
    fn split(self, x: V) -> (V, V) {
        // Adding what 1 lacks to sqrt(2) makes the exponent change at sqrt(2) instead of at 2.
        let shifted = x.map(|x| x.to_bits().wrapping_add(0x3f80_0000 - 0x3f35_04f3));
        (
            shifted.map(|bits| f32::from_bits((bits & 0x007f_ffff) + 0x3f35_04f3)),
            shifted.map(|bits| ((bits >> 23).cast_signed() - 127) as f32),
        )
    }

    #[inline(always)]
    fn sum(self, x: V) -> f32 {
        ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]))
    }
    #[inline(always)]
    fn largest(self, x: V) -> f32 {
        x.into_iter().fold(f32::NEG_INFINITY, |a, b| if a > b { a } else { b })
    }
}
