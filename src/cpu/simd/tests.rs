//! What each instruction set promises, against plain arithmetic.

use half::{bf16, f16};

use super::{InstructionSet, Job, MAX_LANES, Simd, dispatch};

fn available() -> impl Iterator<Item = InstructionSet> {
    InstructionSet::ALL.into_iter().filter(|set| set.is_available())
}

/// Rounds to 16 bits, and widens 16 bits.
struct Convert<'a> {
    x: &'a [f32; MAX_LANES],
    bits: &'a [u16; MAX_LANES],
}

struct Converted {
    f16: [f16; MAX_LANES],
    bf16: [bf16; MAX_LANES],
    from_f16: [f32; MAX_LANES],
    from_bf16: [f32; MAX_LANES],
}

impl Job for Convert<'_> {
    type Output = Converted;

    fn run<S: Simd>(self, s: S) -> Converted {
        let mut to = Converted {
            f16: [f16::ZERO; MAX_LANES],
            bf16: [bf16::ZERO; MAX_LANES],
            from_f16: [0.0; MAX_LANES],
            from_bf16: [0.0; MAX_LANES],
        };
        s.enable(
            #[inline(always)]
            || {
                for i in (0..MAX_LANES).step_by(S::LANES) {
                    let x = s.load(&self.x[i..]);
                    s.store_f16(&mut to.f16[i..], x);
                    s.store_bf16(&mut to.bf16[i..], x);
                    let bits = &self.bits[i..];
                    s.store(&mut to.from_f16[i..], s.load_f16(bytemuck::cast_slice(bits)));
                    s.store(&mut to.from_bf16[i..], s.load_bf16(bytemuck::cast_slice(bits)));
                }
            },
        );
        to
    }
}

fn same(got: f32, want: f32) -> bool {
    got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan())
}

#[test]
fn sixteen_bits_to_and_fro() {
    // Every number of 16 bits, and those of 32 that lie around the middles between them; for Miri some.
    let step = if cfg!(miri) { 97 * MAX_LANES } else { MAX_LANES };
    for set in available() {
        for first in (0..=u16::MAX).step_by(step) {
            let bits = std::array::from_fn(|i| first + i as u16);
            for low in [0u32, 1, 0x0fff, 0x1000, 0x1001, 0x7fff, 0x8000, 0x8001, 0xffff] {
                let x = bits.map(|bits: u16| f32::from_bits(u32::from(bits) << 16 | low));
                let to = dispatch(set, Convert { x: &x, bits: &bits });
                for i in 0..MAX_LANES {
                    let (x, bits) = (x[i], bits[i]);
                    let wide = (f16::from_bits(bits).to_f32(), bf16::from_bits(bits).to_f32());
                    assert!(
                        same(to.from_f16[i], wide.0) && same(to.from_bf16[i], wide.1),
                        "{bits:#x}"
                    );
                    let near = (f16::from_f32(x).to_f32(), bf16::from_f32(x).to_f32());
                    assert!(same(to.f16[i].to_f32(), near.0), "{x:e} to f16 by {set}");
                    assert!(same(to.bf16[i].to_f32(), near.1), "{x:e} to bf16 by {set}");
                }
            }
        }
    }
}

/// Whole powers of two, and what is left of a number over one.
struct Powers<'a>(&'a [f32; MAX_LANES], &'a [f32; MAX_LANES]);

impl Job for Powers<'_> {
    type Output = [[f32; MAX_LANES]; 3];

    fn run<S: Simd>(self, s: S) -> Self::Output {
        let mut to = [[0.0; MAX_LANES]; 3];
        s.enable(
            #[inline(always)]
            || {
                for i in (0..MAX_LANES).step_by(S::LANES) {
                    let (x, n) = (s.load(&self.0[i..]), s.load(&self.1[i..]));
                    s.store(&mut to[0][i..], s.scale(x, n));
                    let (m, k) = s.split(x);
                    s.store(&mut to[1][i..], m);
                    s.store(&mut to[2][i..], k);
                }
            },
        );
        to
    }
}

#[test]
fn powers_of_two() {
    let step = if cfg!(miri) { 50 } else { 1 };
    for set in available() {
        for n in (-250..=250i16).step_by(step) {
            let x = std::array::from_fn(|i| 0.5 + i as f32 / 11.0);
            let [scaled, m, k] = dispatch(set, Powers(&x, &[f32::from(n); MAX_LANES]));
            for i in 0..MAX_LANES {
                // f64 holds the product exactly: rounded once.
                let want = (f64::from(x[i]) * f64::from(n).exp2()) as f32;
                assert!(same(scaled[i], want), "{} * 2^{n} by {set}: {}", x[i], scaled[i]);
                let half = std::f32::consts::FRAC_1_SQRT_2;
                assert!(m[i] >= half && m[i] < 2.0 * half && m[i] * k[i].exp2() == x[i], "{set}");
            }
        }
    }
}

/// The sum of two numbers where they differ, the first where they do not; and what a table holds for the
/// first.
struct SumAndLookup<'a>(&'a [f32; MAX_LANES], &'a [f32; MAX_LANES], &'a [f32; 16]);

impl Job for SumAndLookup<'_> {
    type Output = [[f32; MAX_LANES]; 2];

    fn run<S: Simd>(self, s: S) -> Self::Output {
        let mut to = [[0.0; MAX_LANES]; 2];
        s.enable(
            #[inline(always)]
            || {
                for i in (0..MAX_LANES).step_by(S::LANES) {
                    let (a, b) = (s.load(&self.0[i..]), s.load(&self.1[i..]));
                    s.store(&mut to[0][i..], s.add_where(s.ne(a, b), a, b));
                    s.store(&mut to[1][i..], s.lookup(self.2, a));
                }
            },
        );
        to
    }
}

#[test]
fn sums_where_numbers_differ_and_entries_of_a_table() {
    let table = std::array::from_fn(|i| i as f32);
    for set in available() {
        let a = std::array::from_fn(|i| f32::from_bits(0x4123_4560 + 7 * i as u32));
        let mut b = a;
        b[1] = f32::NAN;
        b[2] = 1.0;
        b[MAX_LANES - 1] = f32::INFINITY;
        let [sums, entries] = dispatch(set, SumAndLookup(&a, &b, &table));
        for i in 0..MAX_LANES {
            let want = if a[i] == b[i] { a[i] } else { a[i] + b[i] };
            assert!(same(sums[i], want), "{} and {} by {set}: {}", a[i], b[i], sums[i]);
            assert!(same(entries[i], (a[i].to_bits() % 16) as f32), "{} by {set}", a[i]);
        }
    }
}
