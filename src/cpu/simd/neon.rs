//! NEON, which every 64-bit ARM processor has: four lanes.
#![expect(unsafe_code, reason = "the processor's instructions, which the target promises")]
#![expect(clippy::wildcard_imports, reason = "a hundred instructions, each with its prefix")]

use std::arch::aarch64::*;

use half::{bf16, f16};

use super::Simd;

const LANES: usize = 4;

#[derive(Clone, Copy)]
pub(super) struct Neon;

// SAFETY, for every block below: NEON is part of the target; each slice is checked to be as long as
// what is read or written through its pointer.
impl Simd for Neon {
    type F = float32x4_t;
    type M = uint32x4_t;
    const LANES: usize = LANES;

    #[inline(always)]
    fn enable<R>(self, f: impl FnOnce() -> R) -> R {
        f()
    }

    #[inline(always)]
    fn splat(self, x: f32) -> float32x4_t {
        unsafe { vdupq_n_f32(x) }
    }
    #[inline(always)]
    fn load(self, x: &[f32]) -> float32x4_t {
        unsafe { vld1q_f32(x[..LANES].as_ptr()) }
    }
    #[inline(always)]
    fn store(self, x: &mut [f32], v: float32x4_t) {
        unsafe { vst1q_f32(x[..LANES].as_mut_ptr(), v) }
    }
    #[inline(always)]
    fn load_f16(self, x: &[f16]) -> float32x4_t {
        let x = &x[..LANES];
        self.load(&[x[0].to_f32(), x[1].to_f32(), x[2].to_f32(), x[3].to_f32()])
    }
    #[inline(always)]
    fn store_f16(self, x: &mut [f16], v: float32x4_t) {
        let mut lanes = [0.0; LANES];
        self.store(&mut lanes, v);
        for (x, lane) in x[..LANES].iter_mut().zip(lanes) {
            *x = f16::from_f32(lane);
        }
    }
    #[inline(always)]
    fn load_bf16(self, x: &[bf16]) -> float32x4_t {
        unsafe {
            let bits = vld1_u16(x[..LANES].as_ptr().cast());
            vreinterpretq_f32_u32(vshll_n_u16::<16>(bits))
        }
    }
    #[inline(always)]
    fn store_bf16(self, x: &mut [bf16], v: float32x4_t) {
        unsafe {
            let bits = vreinterpretq_u32_f32(v);
            let odd = vandq_u32(vshrq_n_u32::<16>(bits), vdupq_n_u32(1));
            let rounded = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
            let quiet = vorrq_u32(bits, vdupq_n_u32(0x0040_0000));
            let bits = vbslq_u32(vceqq_f32(v, v), rounded, quiet);
            vst1_u16(x[..LANES].as_mut_ptr().cast(), vshrn_n_u32::<16>(bits));
        }
    }

    #[inline(always)]
    fn add(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vaddq_f32(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vsubq_f32(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vmulq_f32(a, b) }
    }
    #[inline(always)]
    fn div(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vdivq_f32(a, b) }
    }
    #[inline(always)]
    fn fma(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        unsafe { vfmaq_f32(c, a, b) }
    }
    #[inline(always)]
    fn max(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vbslq_f32(vcgtq_f32(a, b), a, b) }
    }
    #[inline(always)]
    fn min(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vbslq_f32(vcltq_f32(a, b), a, b) }
    }
    #[inline(always)]
    fn abs(self, x: float32x4_t) -> float32x4_t {
        unsafe { vabsq_f32(x) }
    }
    #[inline(always)]
    fn neg(self, x: float32x4_t) -> float32x4_t {
        unsafe { vnegq_f32(x) }
    }

    #[inline(always)]
    fn eq(self, a: float32x4_t, b: float32x4_t) -> uint32x4_t {
        unsafe { vceqq_f32(a, b) }
    }
    #[inline(always)]
    fn ne(self, a: float32x4_t, b: float32x4_t) -> uint32x4_t {
        unsafe { vmvnq_u32(vceqq_f32(a, b)) }
    }
    #[inline(always)]
    fn lt(self, a: float32x4_t, b: float32x4_t) -> uint32x4_t {
        unsafe { vcltq_f32(a, b) }
    }
    #[inline(always)]
    fn any(self, m: uint32x4_t) -> bool {
        unsafe { vmaxvq_u32(m) != 0 }
    }
    #[inline(always)]
    fn count(self, m: uint32x4_t) -> u32 {
        unsafe { vaddvq_u32(vshrq_n_u32::<31>(m)) }
    }
    #[inline(always)]
    fn select(self, m: uint32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vbslq_f32(m, a, b) }
    }
    #[inline(always)]
    fn add_where(self, m: uint32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe {
            let b = vandq_u32(vreinterpretq_u32_f32(b), m);
            vaddq_f32(a, vreinterpretq_f32_u32(b))
        }
    }

    #[inline(always)]
    fn scale(self, x: float32x4_t, n: float32x4_t) -> float32x4_t {
        // In two factors: the second alone may leave the normal numbers, and rounds.
        unsafe {
            let n = vcvtq_s32_f32(n);
            let half = vshrq_n_s32::<1>(n);
            let factor = vmulq_f32(x, power_of_two(half));
            vmulq_f32(factor, power_of_two(vsubq_s32(n, half)))
        }
    }
    #[inline(always)]
    fn split(self, x: float32x4_t) -> (float32x4_t, float32x4_t) {
        unsafe {
            let sqrt_half = vdupq_n_u32(0x3f35_04f3);
            let shift = vdupq_n_u32(0x3f80_0000 - 0x3f35_04f3);
            let shifted = vaddq_u32(vreinterpretq_u32_f32(x), shift);
            let mantissa = vandq_u32(shifted, vdupq_n_u32(0x007f_ffff));
            let exponent = vreinterpretq_s32_u32(vshrq_n_u32::<23>(shifted));
            (
                vreinterpretq_f32_u32(vaddq_u32(mantissa, sqrt_half)),
                vcvtq_f32_s32(vsubq_s32(exponent, vdupq_n_s32(127))),
            )
        }
    }

    #[inline(always)]
    fn sum(self, x: float32x4_t) -> f32 {
        unsafe { vaddvq_f32(x) }
    }
    #[inline(always)]
    fn largest(self, x: float32x4_t) -> f32 {
        unsafe { vmaxvq_f32(x) }
    }
}

/// 2^n for whole n that a normal number can hold.
#[inline(always)]
unsafe fn power_of_two(n: int32x4_t) -> float32x4_t {
    unsafe { vreinterpretq_f32_s32(vshlq_n_s32::<23>(vaddq_s32(n, vdupq_n_s32(127)))) }
}
