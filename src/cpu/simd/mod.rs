//! Vectors of f32 for whatever instruction set the machine has, chosen when the program runs.
//!
//! Code that is generic over [`Simd`] is compiled once for each instruction set. What works on vectors
//! has to be `#[inline(always)]`, down from the closure that [`Simd::enable`] is given: there alone the
//! instruction set is enabled.
//!
//! Only the modules below hold `unsafe`: they call the processor's instructions, which is sound where
//! the processor has them, and that a value of a module's type exists is the proof that it does.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

use half::{bf16, f16};

/// The most lanes that a vector has.
pub(crate) const MAX_LANES: usize = 16;

/// Vectors of [`LANES`](Simd::LANES) numbers.
///
/// Slices are at least that long; what comes after is not touched.
pub(crate) trait Simd: Copy + Send + Sync {
    /// The vector.
    type F: Copy + Send + Sync;
    /// A truth for each lane.
    type M: Copy + Send + Sync;
    /// Numbers in a vector.
    const LANES: usize;
    /// Whether [`lookup`](Simd::lookup) is an instruction.
    const HAS_LOOKUP: bool = false;

    /// Calls `f` with the instruction set enabled.
    fn enable<R>(self, f: impl FnOnce() -> R) -> R;

    fn splat(self, x: f32) -> Self::F;
    fn load(self, x: &[f32]) -> Self::F;
    fn store(self, x: &mut [f32], v: Self::F);
    fn load_f16(self, x: &[f16]) -> Self::F;
    /// Rounded to nearest, ties to even, as is [`store_bf16`](Simd::store_bf16).
    fn store_f16(self, x: &mut [f16], v: Self::F);
    fn load_bf16(self, x: &[bf16]) -> Self::F;
    fn store_bf16(self, x: &mut [bf16], v: Self::F);

    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`, rounded once where there is an instruction for it.
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// The larger; `b` if either is NaN.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// The smaller; `b` if either is NaN.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    fn abs(self, x: Self::F) -> Self::F;
    fn neg(self, x: Self::F) -> Self::F;

    /// `a == b`; false if either is NaN.
    fn eq(self, a: Self::F, b: Self::F) -> Self::M;
    /// The contrary.
    fn ne(self, a: Self::F, b: Self::F) -> Self::M;
    /// `a < b`.
    fn lt(self, a: Self::F, b: Self::F) -> Self::M;
    fn any(self, m: Self::M) -> bool;
    /// How many lanes are true.
    fn count(self, m: Self::M) -> u32;
    /// `a` where the mask is true, `b` elsewhere.
    fn select(self, m: Self::M, a: Self::F, b: Self::F) -> Self::F;

    /// `a + b` where the mask is true, `a` elsewhere; `a` is not -0.
    fn add_where(self, m: Self::M, a: Self::F, b: Self::F) -> Self::F;

    /// `x * 2^n` for whole `n` in `[-250, 250]` and `x` in `[1/2, 2]`, rounded once. Where
    /// [`lookup`](Simd::lookup) is an instruction `n` need not be whole: its floor counts.
    fn scale(self, x: Self::F, n: Self::F) -> Self::F;
    /// Of positive normal numbers: what is left of each over a power of two, in `[sqrt(1/2), sqrt(2))`,
    /// and that power's exponent.
    fn split(self, x: Self::F) -> (Self::F, Self::F);

    /// The entries that the last four bits of each lane say.
    #[inline(always)]
    fn lookup(self, table: &[f32; 16], index: Self::F) -> Self::F {
        let mut lanes = [0.0; MAX_LANES];
        self.store(&mut lanes, index);
        self.load(&lanes.map(|lane| table[lane.to_bits() as usize % 16]))
    }

    /// The sum of all lanes.
    fn sum(self, x: Self::F) -> f32;
    /// The largest of all lanes, none of which is NaN.
    fn largest(self, x: Self::F) -> f32;

    /// Stores past the caches. `x` has to be aligned to the vector's size; [`fence`](Simd::fence)
    /// has to follow before another thread is told.
    fn stream(self, x: &mut [f32], v: Self::F) {
        self.store(x, v);
    }
    /// The same for numbers of 16 bits.
    fn stream_f16(self, x: &mut [f16], v: Self::F) {
        self.store_f16(x, v);
    }
    /// The same for numbers of 16 bits.
    fn stream_bf16(self, x: &mut [bf16], v: Self::F) {
        self.store_bf16(x, v);
    }
    /// Orders what was streamed before what follows.
    fn fence(self) {}
    /// Asks for the cache line of an element that will be read soon, if there is such an element.
    fn prefetch<T>(self, _x: &[T], _index: usize) {}

    /// Loads a slice shorter than a vector; lanes past its end are `fill`.
    #[inline(always)]
    fn load_tail(self, x: &[f32], fill: f32) -> Self::F {
        let mut lanes = [fill; MAX_LANES];
        lanes[..x.len()].copy_from_slice(x);
        self.load(&lanes)
    }
    /// Stores the first lanes to a slice shorter than a vector.
    #[inline(always)]
    fn store_tail(self, x: &mut [f32], v: Self::F) {
        let mut lanes = [0.0; MAX_LANES];
        self.store(&mut lanes, v);
        x.copy_from_slice(&lanes[..x.len()]);
    }
}

/// Work that is written once for every instruction set.
pub(crate) trait Job {
    type Output;
    fn run<S: Simd>(self, s: S) -> Self::Output;
}

/// The vector instructions that the CPU path uses.
///
/// ```
/// use surprisal::cpu::InstructionSet;
///
/// let best = InstructionSet::best();
/// assert!(best.is_available());
/// println!("{best}");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InstructionSet {
    /// Whatever the compiler makes of plain loops for the target it was given.
    Portable,
    /// ARM's 128-bit vectors.
    Neon,
    /// 256-bit vectors with fused multiply-add and 16-bit conversions (x86-64-v3).
    Avx2,
    /// 512-bit vectors (x86-64-v4).
    Avx512,
}

impl InstructionSet {
    /// All of them, the best last.
    pub const ALL: [Self; 4] = [Self::Portable, Self::Neon, Self::Avx2, Self::Avx512];

    /// The best that this machine has.
    pub fn best() -> Self {
        Self::ALL.into_iter().rfind(|set| set.is_available()).unwrap_or(Self::Portable)
    }

    /// Whether this machine has it.
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => avx2::Avx2::new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => avx512::Avx512::new().is_some(),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => true,
            _ => false,
        }
    }
}

impl std::fmt::Display for InstructionSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Portable => "portable",
            Self::Neon => "NEON",
            Self::Avx2 => "AVX2",
            Self::Avx512 => "AVX-512",
        })
    }
}

/// Runs a job with an instruction set, or with plain loops if this machine does not have it.
pub(crate) fn dispatch<J: Job>(set: InstructionSet, job: J) -> J::Output {
    #[cfg(target_arch = "x86_64")]
    if set == InstructionSet::Avx512
        && let Some(s) = avx512::Avx512::new()
    {
        return job.run(s);
    }
    #[cfg(target_arch = "x86_64")]
    if set == InstructionSet::Avx2
        && let Some(s) = avx2::Avx2::new()
    {
        return job.run(s);
    }
    #[cfg(target_arch = "aarch64")]
    if set == InstructionSet::Neon {
        return job.run(neon::Neon);
    }
    let _ = set;
    job.run(portable::Portable)
}

#[cfg(test)]
mod tests;
