//! Element types: what logits may be stored as.

use half::{bf16, f16};

/// The storage type of a matrix.
///
/// ```
/// use surprisal::Dtype;
///
/// assert_eq!(Dtype::Bf16.size(), 2);
/// assert_eq!(Dtype::F32.to_string(), "f32");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dtype {
    /// IEEE half precision.
    F16,
    /// The upper half of an f32.
    Bf16,
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
}

impl Dtype {
    /// Bytes an element.
    pub const fn size(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

impl std::fmt::Display for Dtype {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::F32 => "f32",
            Self::F64 => "f64",
        })
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A type that logits may have: [`struct@f16`], [`bf16`], [`f32`] or [`f64`].
pub trait Element: bytemuck::Pod + Send + Sync + sealed::Sealed {
    /// The type as a value.
    const DTYPE: Dtype;
    /// The value as f32, rounded to nearest if it has to be.
    fn to_f32(self) -> f32;
    /// The value as f64, exactly.
    fn to_f64(self) -> f64;
    /// The nearest value of this type.
    fn from_f32(value: f32) -> Self;
    /// The nearest value of this type.
    fn from_f64(value: f64) -> Self;
}

macro_rules! element {
    ($type:ty, $dtype:expr, $to_f32:expr, $from_f32:expr, $from_f64:expr) => {
        impl sealed::Sealed for $type {}
        impl Element for $type {
            const DTYPE: Dtype = $dtype;
            fn to_f32(self) -> f32 {
                $to_f32(self)
            }
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            fn from_f32(value: f32) -> Self {
                $from_f32(value)
            }
            fn from_f64(value: f64) -> Self {
                $from_f64(value)
            }
        }
    };
}

/// The f32 on either side whose last bit is set, unless the number is an f32: rounded on to fewer digits it
/// comes to what the number itself would.
fn to_odd(x: f64) -> f32 {
    let near = x as f32;
    if f64::from(near) == x || !near.is_finite() {
        return near;
    }
    let towards_zero = near.to_bits() - u32::from(f64::from(near).abs() > x.abs());
    f32::from_bits(towards_zero | 1)
}

element!(f16, Dtype::F16, f16::to_f32, f16::from_f32, |x| f16::from_f32(to_odd(x)));
element!(bf16, Dtype::Bf16, bf16::to_f32, bf16::from_f32, |x| bf16::from_f32(to_odd(x)));
element!(f32, Dtype::F32, |x| x, |x| x, |x: f64| x as f32);
element!(f64, Dtype::F64, |x| x as f32, f64::from, |x| x);

#[cfg(test)]
mod tests {
    use super::{Element, bf16, f16};

    #[test]
    fn f64_is_rounded_once() {
        // A little above the middle between 1 and the next number, which f32 does not see.
        let above = |bits: i32| 1.0 + 2f64.powi(-bits - 1) + 2f64.powi(-40);
        assert_eq!(<f16 as Element>::from_f64(above(10)).to_f64(), 1.0 + 2f64.powi(-10));
        assert_eq!(<bf16 as Element>::from_f64(above(7)).to_f64(), 1.0 + 2f64.powi(-7));
        // And a little below the middle of the next two.
        let below = |bits: i32| -(1.0 + 1.5 * 2f64.powi(-bits) - 2f64.powi(-40));
        assert_eq!(<f16 as Element>::from_f64(below(10)).to_f64(), -1.0 - 2f64.powi(-10));
        assert_eq!(<bf16 as Element>::from_f64(below(7)).to_f64(), -1.0 - 2f64.powi(-7));
        assert_eq!(<f16 as Element>::from_f64(1e300), f16::INFINITY);
        assert!(<f16 as Element>::from_f64(f64::NAN).is_nan());
    }
}
