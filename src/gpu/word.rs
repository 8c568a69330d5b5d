//! How the elements of matrices are stored, and how many a lane takes at a time.

use crate::dtype::Dtype;
#[allow(clippy::wildcard_imports, reason = "the choices below are made of their names")]
use crate::gpu::fragment::*;

/// How matrices are stored, and how many elements are read at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Word {
    /// f32, one at a time: any row length, any row start.
    F32,
    /// f32, four at a time.
    F32x4,
    /// f16, four at a time, any row length, any row start.
    F16,
    /// f16, four at a time.
    F16x4,
    /// bf16, four at a time, any row length, any row start.
    Bf16,
    /// bf16, four at a time.
    Bf16x4,
}

impl Word {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::F32, Self::F32x4, Self::F16, Self::F16x4, Self::Bf16, Self::Bf16x4];

    /// That of rows that start anywhere.
    pub(super) fn anywhere(dtype: Dtype) -> Self {
        match dtype {
            Dtype::F16 => Self::F16,
            Dtype::Bf16 => Self::Bf16,
            Dtype::F32 | Dtype::F64 => Self::F32,
        }
    }

    /// That of rows that start at multiples of four elements and have a multiple of four columns.
    pub(super) fn by_four(dtype: Dtype) -> Self {
        match dtype {
            Dtype::F16 => Self::F16x4,
            Dtype::Bf16 => Self::Bf16x4,
            Dtype::F32 | Dtype::F64 => Self::F32x4,
        }
    }

    /// Elements a word.
    pub const fn width(self) -> u32 {
        if matches!(self, Self::F32) { 1 } else { 4 }
    }

    /// Elements that offsets and strides are counted in.
    pub const fn grain(self) -> u64 {
        if matches!(self, Self::F32x4 | Self::F16x4 | Self::Bf16x4) { 4 } else { 1 }
    }

    /// Whether elements are 16-bit.
    pub const fn is_narrow(self) -> bool {
        !matches!(self, Self::F32 | Self::F32x4)
    }

    /// Whether a row's last word may have fewer elements, and two rows may share a u32.
    pub const fn is_ragged(self) -> bool {
        matches!(self, Self::F16 | Self::Bf16)
    }

    pub(super) fn fragments(self) -> Vec<&'static Fragment> {
        match self {
            Self::F32 => vec![&WORD_F32],
            Self::F32x4 => vec![&WORD_F32X4],
            Self::F16 => vec![&WORD_HALVES, &HALVES_F16],
            Self::F16x4 => vec![&WORD_HALVES_X4, &HALVES_F16],
            Self::Bf16 => vec![&WORD_HALVES, &HALVES_BF16],
            Self::Bf16x4 => vec![&WORD_HALVES_X4, &HALVES_BF16],
        }
    }

    /// One of two files that bind and do the same.
    pub(super) fn pick(
        self,
        whole: &'static Fragment,
        ragged: &'static Fragment,
    ) -> &'static Fragment {
        if self.is_ragged() { ragged } else { whole }
    }
}
