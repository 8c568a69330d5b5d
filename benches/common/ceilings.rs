//! What this machine's memory allows, by all of rayon's threads.
//!
//! By instructions that are named, where it matters: what the compiler makes of a plain sum depends on
//! the build, and is slower in a native one than in a plain one.

use rayon::prelude::*;

/// Words that one thread takes at a time.
const BLOCK: usize = 1 << 16;

/// Reads everything: the sum of all words.
pub fn read(x: &[u32]) -> u32 {
    x.par_chunks(BLOCK).map(sweep::sum).reduce(|| 0, u32::wrapping_add)
}

/// Copies by plain stores, which read each line before they write it.
pub fn copy(x: &[u32], out: &mut [u32]) {
    let blocks = x.par_chunks(BLOCK).zip(out.par_chunks_mut(BLOCK));
    blocks.for_each(|(x, out)| out.copy_from_slice(x));
}

/// Copies by stores past the caches, where there are any; `out` begins at a cache line.
pub fn copy_streamed(x: &[u32], out: &mut [u32]) {
    let blocks = x.par_chunks(BLOCK).zip(out.par_chunks_mut(BLOCK));
    blocks.for_each(|(x, out)| sweep::stream(x, out));
}

/// Writes every word over itself, inverted.
pub fn invert(x: &mut [u32]) {
    x.par_chunks_mut(BLOCK).for_each(|x| x.iter_mut().for_each(|x| *x = !*x));
}

#[cfg(target_arch = "x86_64")]
mod sweep {
    #![expect(unsafe_code, reason = "the processor's instructions; argued at each")]

    use std::arch::x86_64::{
        __m128i, __m512i, _mm_add_epi32, _mm_loadu_si128, _mm_setzero_si128, _mm_sfence,
        _mm_stream_si128, _mm512_loadu_si512, _mm512_stream_si512,
    };

    /// Words of a vector.
    const WORDS: usize = 4;
    /// Words of a cache line.
    const LINE: usize = 16;
    /// Vectors added up beside each other, so that no addition waits for the one before.
    const SUMS: usize = 8;

    pub(super) fn sum(x: &[u32]) -> u32 {
        let (chunks, rest) = x.as_chunks::<{ WORDS * SUMS }>();
        // SAFETY: SSE2 is part of x86-64.
        let mut sums = [unsafe { _mm_setzero_si128() }; SUMS];
        for chunk in chunks {
            for (sum, x) in sums.iter_mut().zip(chunk.as_chunks::<WORDS>().0) {
                // SAFETY: as above; the load is of four words that `x` borrows, wherever they are.
                *sum = unsafe { _mm_add_epi32(*sum, _mm_loadu_si128(x.as_ptr().cast())) };
            }
        }
        let sums: [[u32; WORDS]; SUMS] = sums.map(bytemuck::cast);
        sums.as_flattened().iter().chain(rest).fold(0, |sum, x| sum.wrapping_add(*x))
    }

    pub(super) fn stream(x: &[u32], out: &mut [u32]) {
        assert!(out.as_ptr().addr().is_multiple_of(size_of::<__m512i>()), "the stores' condition");
        let (lines, rest) = x.as_chunks::<LINE>();
        let (out_lines, out_rest) = out.as_chunks_mut::<LINE>();
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: just detected; and aligned, as was asserted.
            unsafe { stream_wide(lines, out_lines) }
        } else {
            for (x, out) in lines
                .as_flattened()
                .chunks(WORDS)
                .zip(out_lines.as_flattened_mut().chunks_mut(WORDS))
            {
                // SAFETY: SSE2 is part of x86-64. Both are of four words, a line being four times as
                // many; `out` is a multiple of vectors into a slice that is aligned to more.
                unsafe {
                    let vector: __m128i = _mm_loadu_si128(x.as_ptr().cast());
                    _mm_stream_si128(out.as_mut_ptr().cast(), vector);
                }
            }
        }
        out_rest.copy_from_slice(rest);
        // SAFETY: as above. It orders the stores before whatever tells another thread of them.
        unsafe { _mm_sfence() }
    }

    /// # Safety
    /// The processor has AVX-512, and `out` is aligned to a line.
    #[target_feature(enable = "avx512f")]
    unsafe fn stream_wide(x: &[[u32; LINE]], out: &mut [[u32; LINE]]) {
        for (x, out) in x.iter().zip(out) {
            // SAFETY: each is a line's words, and `out` begins where a line does.
            unsafe {
                _mm512_stream_si512(out.as_mut_ptr().cast(), _mm512_loadu_si512(x.as_ptr().cast()));
            }
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod sweep {
    /// Words added up beside each other.
    const SUMS: usize = 64;

    pub(super) fn sum(x: &[u32]) -> u32 {
        let (chunks, rest) = x.as_chunks::<SUMS>();
        let mut sums = [0u32; SUMS];
        for chunk in chunks {
            for (sum, x) in sums.iter_mut().zip(chunk) {
                *sum = sum.wrapping_add(*x);
            }
        }
        sums.iter().chain(rest).fold(0, |sum, x| sum.wrapping_add(*x))
    }

    pub(super) fn stream(x: &[u32], out: &mut [u32]) {
        out.copy_from_slice(x);
    }
}
