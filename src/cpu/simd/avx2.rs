//! AVX2 with fused multiply-add and 16-bit conversions: eight lanes.
#![expect(unsafe_code, reason = "the processor's instructions; `Avx2` exists only where they do")]
#![allow(clippy::wildcard_imports, reason = "a hundred instructions, each with its prefix")]
#![expect(clippy::cast_ptr_alignment, reason = "checked where it matters")]

use std::arch::x86_64::*;

use half::{bf16, f16};

use super::Simd;

const LANES: usize = 8;

/// Proof that this processor has the instructions.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

impl Avx2 {
    pub(super) fn new() -> Option<Self> {
        let is_there = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        is_there.then_some(Self(()))
    }
}

/// A mask of the first `len` lanes.
#[inline(always)]
unsafe fn first(len: usize) -> __m256i {
    static ONES_THEN_ZEROS: [i32; 2 * LANES] =
        [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    unsafe {
        _mm256_loadu_si256(ONES_THEN_ZEROS[LANES - len.min(LANES)..][..LANES].as_ptr().cast())
    }
}

// SAFETY, for every block below: `self` proves that the instructions exist; each slice is checked to
// be as long as what is read or written through its pointer, or the mask says how long it is.
impl Simd for Avx2 {
    type F = __m256;
    type M = __m256;
    const LANES: usize = LANES;

    #[inline(always)]
    fn enable<R>(self, f: impl FnOnce() -> R) -> R {
        #[inline(never)]
        #[target_feature(enable = "avx2,fma,f16c")]
        fn enabled<R>(f: impl FnOnce() -> R) -> R {
            f()
        }
        unsafe { enabled(f) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        unsafe { _mm256_set1_ps(x) }
    }
    #[inline(always)]
    fn load(self, x: &[f32]) -> __m256 {
        unsafe { _mm256_loadu_ps(x[..LANES].as_ptr()) }
    }
    #[inline(always)]
    fn store(self, x: &mut [f32], v: __m256) {
        unsafe { _mm256_storeu_ps(x[..LANES].as_mut_ptr(), v) }
    }
    #[inline(always)]
    fn load_tail(self, x: &[f32], fill: f32) -> __m256 {
        unsafe {
            let mask = first(x.len());
            let loaded = _mm256_maskload_ps(x.as_ptr(), mask);
            _mm256_blendv_ps(_mm256_set1_ps(fill), loaded, _mm256_castsi256_ps(mask))
        }
    }
    #[inline(always)]
    fn store_tail(self, x: &mut [f32], v: __m256) {
        unsafe { _mm256_maskstore_ps(x.as_mut_ptr(), first(x.len()), v) }
    }
    #[inline(always)]
    fn load_f16(self, x: &[f16]) -> __m256 {
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(x[..LANES].as_ptr().cast())) }
    }
    #[inline(always)]
    fn store_f16(self, x: &mut [f16], v: __m256) {
        unsafe { _mm_storeu_si128(x[..LANES].as_mut_ptr().cast(), to_f16(v)) }
    }
    #[inline(always)]
    fn load_bf16(self, x: &[bf16]) -> __m256 {
        unsafe {
            let bits = _mm256_cvtepu16_epi32(_mm_loadu_si128(x[..LANES].as_ptr().cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(bits))
        }
    }
    #[inline(always)]
    fn store_bf16(self, x: &mut [bf16], v: __m256) {
        unsafe { _mm_storeu_si128(x[..LANES].as_mut_ptr().cast(), to_bf16(v)) }
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_mul_ps(a, b) }
    }
    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_div_ps(a, b) }
    }
    #[inline(always)]
    fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_max_ps(a, b) }
    }
    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_min_ps(a, b) }
    }
    #[inline(always)]
    fn abs(self, x: __m256) -> __m256 {
        unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), x) }
    }
    #[inline(always)]
    fn neg(self, x: __m256) -> __m256 {
        unsafe { _mm256_xor_ps(x, _mm256_set1_ps(-0.0)) }
    }

    #[inline(always)]
    fn eq(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_cmp_ps::<_CMP_EQ_OQ>(a, b) }
    }
    #[inline(always)]
    fn ne(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_cmp_ps::<_CMP_NEQ_UQ>(a, b) }
    }
    #[inline(always)]
    fn lt(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_cmp_ps::<_CMP_LT_OQ>(a, b) }
    }
    #[inline(always)]
    fn any(self, m: __m256) -> bool {
        unsafe { _mm256_movemask_ps(m) != 0 }
    }
    #[inline(always)]
    fn count(self, m: __m256) -> u32 {
        unsafe { _mm256_movemask_ps(m).count_ones() }
    }
    #[inline(always)]
    fn select(self, m: __m256, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_blendv_ps(b, a, m) }
    }
    #[inline(always)]
    fn add_where(self, m: __m256, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_add_ps(a, _mm256_and_ps(b, m)) }
    }

    #[inline(always)]
    fn scale(self, x: __m256, n: __m256) -> __m256 {
        unsafe {
            // What leaves the normal numbers, rarely, goes there in two factors and is rounded by
            // the second.
            let is_far = _mm256_cmp_ps::<_CMP_NLT_UQ>(self.abs(n), _mm256_set1_ps(126.0));
            let n = _mm256_cvtps_epi32(n);
            if _mm256_movemask_ps(is_far) != 0 {
                let half = _mm256_srai_epi32::<1>(n);
                let factor = _mm256_mul_ps(x, power_of_two(half));
                return _mm256_mul_ps(factor, power_of_two(_mm256_sub_epi32(n, half)));
            }
            let exponent = _mm256_slli_epi32::<23>(n);
            _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x), exponent))
        }
    }
    #[inline(always)]
    fn split(self, x: __m256) -> (__m256, __m256) {
        unsafe {
            let sqrt_half = _mm256_set1_epi32(0x3f35_04f3);
            let shift = _mm256_sub_epi32(_mm256_set1_epi32(0x3f80_0000), sqrt_half);
            let shifted = _mm256_add_epi32(_mm256_castps_si256(x), shift);
            let mantissa = _mm256_and_si256(shifted, _mm256_set1_epi32(0x007f_ffff));
            let exponent =
                _mm256_sub_epi32(_mm256_srli_epi32::<23>(shifted), _mm256_set1_epi32(127));
            (
                _mm256_castsi256_ps(_mm256_add_epi32(mantissa, sqrt_half)),
                _mm256_cvtepi32_ps(exponent),
            )
        }
    }

    #[inline(always)]
    fn sum(self, x: __m256) -> f32 {
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }
    #[inline(always)]
    fn largest(self, x: __m256) -> f32 {
        unsafe {
            let four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
        }
    }

    #[inline(always)]
    fn stream(self, x: &mut [f32], v: __m256) {
        let x = x[..LANES].as_mut_ptr();
        assert!(x.cast::<__m256>().is_aligned());
        unsafe { _mm256_stream_ps(x, v) }
    }
    #[inline(always)]
    fn stream_f16(self, x: &mut [f16], v: __m256) {
        let x = x[..LANES].as_mut_ptr().cast::<__m128i>();
        assert!(x.is_aligned());
        unsafe { _mm_stream_si128(x, to_f16(v)) }
    }
    #[inline(always)]
    fn stream_bf16(self, x: &mut [bf16], v: __m256) {
        let x = x[..LANES].as_mut_ptr().cast::<__m128i>();
        assert!(x.is_aligned());
        unsafe { _mm_stream_si128(x, to_bf16(v)) }
    }
    #[inline(always)]
    fn fence(self) {
        unsafe { _mm_sfence() }
    }
    #[inline(always)]
    fn prefetch<T>(self, x: &[T], index: usize) {
        if let Some(x) = x.get(index) {
            unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(x).cast()) }
        }
    }
}

/// 2^n for whole n that a normal number can hold.
#[inline(always)]
unsafe fn power_of_two(n: __m256i) -> __m256 {
    unsafe {
        let biased = _mm256_add_epi32(n, _mm256_set1_epi32(127));
        _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased))
    }
}

#[inline(always)]
unsafe fn to_f16(v: __m256) -> __m128i {
    unsafe { _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v) }
}

#[inline(always)]
unsafe fn to_bf16(v: __m256) -> __m128i {
    unsafe {
        let bits = _mm256_castps_si256(v);
        let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
        let rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
        let quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x0040_0000));
        let is_nan = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(v, v));
        let bits = _mm256_srli_epi32::<16>(_mm256_blendv_epi8(rounded, quiet, is_nan));
        let packed = _mm256_packus_epi32(bits, bits);
        _mm256_castsi256_si128(_mm256_permute4x64_epi64::<0b1000>(packed))
    }
}
