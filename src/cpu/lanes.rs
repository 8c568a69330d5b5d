//! Elements by vectors, and where they lie.

use half::{bf16, f16};

use crate::cpu::math::{exp_for_16_bits, exp_of_negative};
use crate::cpu::short::Next;
use crate::cpu::simd::{MAX_LANES, Simd};
use crate::dtype::Element;
use crate::matrix::Values;

/// An element type, by vectors. The slices of `load`, `store` and `stream` hold a vector or more,
/// those of `load_tail` and `store_tail` fewer.
pub(crate) trait Lanes: Element {
    fn values(x: &[Self]) -> Values<'_>;
    fn load<S: Simd>(s: S, x: &[Self]) -> S::F;
    fn store<S: Simd>(s: S, x: &mut [Self], v: S::F);
    /// e^x of what is not above 0, as exact as it can be stored.
    #[inline(always)]
    fn exp_of_negative<S: Simd>(s: S, x: S::F) -> S::F {
        exp_of_negative(s, x)
    }
    /// `x` is aligned to its vector's size.
    fn stream<S: Simd>(s: S, x: &mut [Self], v: S::F) {
        Self::store(s, x, v);
    }
    #[inline(always)]
    fn load_tail<S: Simd>(s: S, x: &[Self], fill: f32) -> S::F {
        let mut lanes = [Self::from_f32(fill); MAX_LANES];
        lanes[..x.len()].copy_from_slice(x);
        Self::load(s, &lanes)
    }
    #[inline(always)]
    fn store_tail<S: Simd>(s: S, x: &mut [Self], v: S::F) {
        let mut lanes = [Self::zeroed(); MAX_LANES];
        Self::store(s, &mut lanes, v);
        x.copy_from_slice(&lanes[..x.len()]);
    }
}

impl Lanes for f32 {
    fn values(x: &[Self]) -> Values<'_> {
        x.into()
    }
    #[inline(always)]
    fn load<S: Simd>(s: S, x: &[Self]) -> S::F {
        s.load(x)
    }
    #[inline(always)]
    fn store<S: Simd>(s: S, x: &mut [Self], v: S::F) {
        s.store(x, v);
    }
    #[inline(always)]
    fn stream<S: Simd>(s: S, x: &mut [Self], v: S::F) {
        s.stream(x, v);
    }
    #[inline(always)]
    fn load_tail<S: Simd>(s: S, x: &[Self], fill: f32) -> S::F {
        s.load_tail(x, fill)
    }
    #[inline(always)]
    fn store_tail<S: Simd>(s: S, x: &mut [Self], v: S::F) {
        s.store_tail(x, v);
    }
}

macro_rules! sixteen_bits {
    ($type:ident: $load:ident, $store:ident, $stream:ident) => {
        impl Lanes for $type {
            fn values(x: &[Self]) -> Values<'_> {
                x.into()
            }
            #[inline(always)]
            fn exp_of_negative<S: Simd>(s: S, x: S::F) -> S::F {
                exp_for_16_bits(s, x)
            }
            #[inline(always)]
            fn load<S: Simd>(s: S, x: &[Self]) -> S::F {
                s.$load(x)
            }
            #[inline(always)]
            fn store<S: Simd>(s: S, x: &mut [Self], v: S::F) {
                s.$store(x, v);
            }
            #[inline(always)]
            fn stream<S: Simd>(s: S, x: &mut [Self], v: S::F) {
                s.$stream(x, v);
            }
        }
    };
}

sixteen_bits!(f16: load_f16, store_f16, stream_f16);
sixteen_bits!(bf16: load_bf16, store_bf16, stream_bf16);

impl Lanes for f64 {
    fn values(x: &[Self]) -> Values<'_> {
        x.into()
    }
    #[inline(always)]
    fn load<S: Simd>(s: S, x: &[Self]) -> S::F {
        let x = &x[..S::LANES];
        let mut lanes = [0.0; MAX_LANES];
        for (lane, x) in lanes.iter_mut().zip(x) {
            *lane = *x as f32;
        }
        s.load(&lanes)
    }
    #[inline(always)]
    fn store<S: Simd>(s: S, x: &mut [Self], v: S::F) {
        let mut lanes = [0.0; MAX_LANES];
        s.store(&mut lanes, v);
        for (x, lane) in x[..S::LANES].iter_mut().zip(lanes) {
            *x = Self::from(lane);
        }
    }
}

/// Some elements, a vector of them or fewer; lanes past them are `fill`.
#[inline(always)]
pub(super) fn load<S: Simd, T: Lanes>(s: S, x: &[T], fill: f32) -> S::F {
    if x.len() >= S::LANES { T::load(s, x) } else { T::load_tail(s, x, fill) }
}

#[inline(always)]
pub(super) fn store<S: Simd, T: Lanes>(s: S, out: &mut [T], v: S::F) {
    if out.len() >= S::LANES { T::store(s, out, v) } else { T::store_tail(s, out, v) }
}

/// Calls `$body` with the slices of an input and of an output of the same dtype.
macro_rules! with_pair {
    ($values:expr, $out:expr, ($x:ident, $y:ident) => $body:expr) => {
        match ($values, $out) {
            ($crate::matrix::Values::F16($x), $crate::matrix::ValuesMut::F16($y)) => $body,
            ($crate::matrix::Values::Bf16($x), $crate::matrix::ValuesMut::Bf16($y)) => $body,
            ($crate::matrix::Values::F32($x), $crate::matrix::ValuesMut::F32($y)) => $body,
            ($crate::matrix::Values::F64($x), $crate::matrix::ValuesMut::F64($y)) => $body,
            _ => Err($crate::error::Error::InvalidInput {
                what: "output",
                reason: "has another dtype than the matrix".to_owned(),
            }),
        }
    };
}
pub(super) use with_pair;

/// A row, or as many as lie next to each other: what is read, and what is written.
pub(crate) enum Io<'a, T> {
    Read(&'a [T]),
    Separate(&'a [T], &'a mut [T]),
    InPlace(&'a mut [T]),
}

impl<T> Io<'_, T> {
    #[inline(always)]
    pub(super) fn input(&self) -> &[T] {
        match self {
            Self::Read(x) | Self::Separate(x, _) => x,
            Self::InPlace(x) => x,
        }
    }

    /// What is written; nothing if nothing is.
    #[inline(always)]
    pub(super) fn output(&mut self) -> &mut [T] {
        match self {
            Self::Read(_) => &mut [],
            Self::Separate(_, out) | Self::InPlace(out) => out,
        }
    }

    /// What comes next, if nothing is written; where something is, asking ahead takes longer.
    pub(super) fn next(&self) -> Next<'_>
    where
        T: Lanes,
    {
        match self {
            Self::Read(x) => Next::of(x),
            _ => Next::NOTHING,
        }
    }

    /// The same, for a shorter time.
    pub(super) fn reborrow(&mut self) -> Io<'_, T> {
        match self {
            Self::Read(x) => Io::Read(x),
            Self::Separate(x, out) => Io::Separate(x, out),
            Self::InPlace(out) => Io::InPlace(out),
        }
    }

    /// Takes the first `len` elements off, no more than there are.
    #[inline(always)]
    pub(super) fn split_off(&mut self, len: usize) -> Self {
        match self {
            Self::Read(x) => Self::Read(x.split_off(..len).unwrap_or_default()),
            Self::Separate(x, out) => Self::Separate(
                x.split_off(..len).unwrap_or_default(),
                out.split_off_mut(..len).unwrap_or_default(),
            ),
            Self::InPlace(out) => Self::InPlace(out.split_off_mut(..len).unwrap_or_default()),
        }
    }
}
