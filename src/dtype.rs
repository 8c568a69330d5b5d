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
}

macro_rules! element {
    ($type:ty, $dtype:expr, $to_f32:expr, $from_f32:expr) => {
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
        }
    };
}

element!(f16, Dtype::F16, f16::to_f32, f16::from_f32);
element!(bf16, Dtype::Bf16, bf16::to_f32, bf16::from_f32);
element!(f32, Dtype::F32, |x| x, |x| x);
element!(f64, Dtype::F64, |x| x as f32, f64::from);
