//! AVX-512: sixteen lanes.
#![expect(unsafe_code, reason = "the processor's instructions; `Avx512` exists only where they do")]
#![allow(clippy::wildcard_imports, reason = "a hundred instructions, each with its prefix")]
#![expect(clippy::cast_ptr_alignment, reason = "checked where it matters")]

use std::arch::x86_64::*;

use half::{bf16, f16};

use super::Simd;

const LANES: usize = 16;

/// Proof that this processor has the instructions.
#[derive(Clone, Copy)]
pub(super) struct Avx512(());

impl Avx512 {
    pub(super) fn new() -> Option<Self> {
        let is_there = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma");
        is_there.then_some(Self(()))
    }
}

/// Some lanes, the first `len`.
#[inline(always)]
fn first(len: usize) -> __mmask16 {
    // Fewer than 16, so that the shift is one.
    ((1u32 << len.min(LANES)) - 1) as __mmask16
}

// SAFETY, for every block below: `self` proves that the instructions exist; each slice is checked to
// be as long as what is read or written through its pointer, or the mask says how long it is.
impl Simd for Avx512 {
    type F = __m512;
    type M = __mmask16;
    const LANES: usize = LANES;
    const HAS_LOOKUP: bool = true;

    #[inline(always)]
    fn enable<R>(self, f: impl FnOnce() -> R) -> R {
        #[inline(never)]
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
        fn enabled<R>(f: impl FnOnce() -> R) -> R {
            f()
        }
        unsafe { enabled(f) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    fn load(self, x: &[f32]) -> __m512 {
        unsafe { _mm512_loadu_ps(x[..LANES].as_ptr()) }
    }
    #[inline(always)]
    fn store(self, x: &mut [f32], v: __m512) {
        unsafe { _mm512_storeu_ps(x[..LANES].as_mut_ptr(), v) }
    }
    #[inline(always)]
    fn load_tail(self, x: &[f32], fill: f32) -> __m512 {
        unsafe { _mm512_mask_loadu_ps(_mm512_set1_ps(fill), first(x.len()), x.as_ptr()) }
    }
    #[inline(always)]
    fn store_tail(self, x: &mut [f32], v: __m512) {
        unsafe { _mm512_mask_storeu_ps(x.as_mut_ptr(), first(x.len()), v) }
    }
    #[inline(always)]
    fn load_f16(self, x: &[f16]) -> __m512 {
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(x[..LANES].as_ptr().cast())) }
    }
    #[inline(always)]
    fn store_f16(self, x: &mut [f16], v: __m512) {
        unsafe { _mm256_storeu_si256(x[..LANES].as_mut_ptr().cast(), to_f16(v)) }
    }
    #[inline(always)]
    fn load_bf16(self, x: &[bf16]) -> __m512 {
        unsafe {
            let bits = _mm512_cvtepu16_epi32(_mm256_loadu_si256(x[..LANES].as_ptr().cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(bits))
        }
    }
    #[inline(always)]
    fn store_bf16(self, x: &mut [bf16], v: __m512) {
        unsafe { _mm256_storeu_si256(x[..LANES].as_mut_ptr().cast(), to_bf16(v)) }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_div_ps(a, b) }
    }
    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_min_ps(a, b) }
    }
    #[inline(always)]
    fn abs(self, x: __m512) -> __m512 {
        unsafe { _mm512_abs_ps(x) }
    }
    #[inline(always)]
    fn neg(self, x: __m512) -> __m512 {
        unsafe { _mm512_xor_ps(x, _mm512_set1_ps(-0.0)) }
    }

    #[inline(always)]
    fn eq(self, a: __m512, b: __m512) -> __mmask16 {
        unsafe { _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b) }
    }
    #[inline(always)]
    fn ne(self, a: __m512, b: __m512) -> __mmask16 {
        unsafe { _mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(a, b) }
    }
    #[inline(always)]
    fn lt(self, a: __m512, b: __m512) -> __mmask16 {
        unsafe { _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b) }
    }
    #[inline(always)]
    fn any(self, m: __mmask16) -> bool {
        m != 0
    }
    #[inline(always)]
    fn count(self, m: __mmask16) -> u32 {
        m.count_ones()
    }
    #[inline(always)]
    fn select(self, m: __mmask16, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mask_blend_ps(m, b, a) }
    }
    #[inline(always)]
    fn add_where(self, m: __mmask16, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mask_add_ps(a, m, a, b) }
    }

    #[inline(always)]
    fn scale(self, x: __m512, n: __m512) -> __m512 {
        unsafe { _mm512_scalef_ps(x, n) }
    }
    #[inline(always)]
    fn lookup(self, table: &[f32; 16], index: __m512) -> __m512 {
        unsafe {
            let table = _mm512_loadu_ps(table.as_ptr());
            _mm512_permutexvar_ps(_mm512_castps_si512(index), table)
        }
    }
    #[inline(always)]
    fn split(self, x: __m512) -> (__m512, __m512) {
        unsafe {
            let sqrt_half = _mm512_set1_epi32(0x3f35_04f3);
            let shift = _mm512_sub_epi32(_mm512_set1_epi32(0x3f80_0000), sqrt_half);
            let shifted = _mm512_add_epi32(_mm512_castps_si512(x), shift);
            let mantissa = _mm512_and_si512(shifted, _mm512_set1_epi32(0x007f_ffff));
            let exponent =
                _mm512_sub_epi32(_mm512_srli_epi32::<23>(shifted), _mm512_set1_epi32(127));
            (
                _mm512_castsi512_ps(_mm512_add_epi32(mantissa, sqrt_half)),
                _mm512_cvtepi32_ps(exponent),
            )
        }
    }

    #[inline(always)]
    fn sum(self, x: __m512) -> f32 {
        unsafe { _mm512_reduce_add_ps(x) }
    }
    #[inline(always)]
    fn largest(self, x: __m512) -> f32 {
        unsafe { _mm512_reduce_max_ps(x) }
    }

    #[inline(always)]
    fn stream(self, x: &mut [f32], v: __m512) {
        let x = x[..LANES].as_mut_ptr();
        assert!(x.cast::<__m512>().is_aligned());
        unsafe { _mm512_stream_ps(x, v) }
    }
    #[inline(always)]
    fn stream_f16(self, x: &mut [f16], v: __m512) {
        let x = x[..LANES].as_mut_ptr().cast::<__m256i>();
        assert!(x.is_aligned());
        unsafe { _mm256_stream_si256(x, to_f16(v)) }
    }
    #[inline(always)]
    fn stream_bf16(self, x: &mut [bf16], v: __m512) {
        let x = x[..LANES].as_mut_ptr().cast::<__m256i>();
        assert!(x.is_aligned());
        unsafe { _mm256_stream_si256(x, to_bf16(v)) }
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

#[inline(always)]
unsafe fn to_f16(v: __m512) -> __m256i {
    unsafe { _mm512_cvtps_ph::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(v) }
}

/// By integers: the instruction for it flushes subnormal numbers.
#[inline(always)]
unsafe fn to_bf16(v: __m512) -> __m256i {
    // What a number becomes, by its kind: a NaN the default one, all others themselves.
    const KINDS: i32 = 0x1111_1133;
    unsafe {
        let v = _mm512_fixupimm_ps::<0>(v, v, _mm512_set1_epi32(KINDS));
        let bits = _mm512_castps_si512(v);
        let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
        let rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
        _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(rounded))
    }
}
