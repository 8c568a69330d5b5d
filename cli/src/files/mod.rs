//! Arrays in files: `.npy`, alone and in `.npz` archives, and `.safetensors`.

mod elements;
mod flusher;
mod fortran;
mod input;
mod literal;
mod npy;
mod npz;
mod output;
mod pending;
mod safetensors;
mod source;
mod spec;

pub use elements::Data;
pub use input::InputArray;
pub(crate) use input::{matrix, shown};
pub(crate) use output::{Outputs, check_distinct, check_dtype};
pub(crate) use pending::{PendingFile, publish, resolved};
pub(crate) use source::is_piped;
pub use spec::InputSpec;
pub(crate) use spec::{OutputSpec, from_os_str};

/// What is written is little-endian, and what is read is cast from bytes.
const _: () = assert!(cfg!(target_endian = "little"), "the command needs a little-endian machine");

/// An element type that a file may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are called what they are")]
pub enum FileDtype {
    F16,
    Bf16,
    F32,
    F64,
    Bool,
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
}

impl FileDtype {
    /// Bytes of an element.
    pub fn size(self) -> u64 {
        match self {
            Self::Bool | Self::I8 | Self::U8 => 1,
            Self::F16 | Self::Bf16 | Self::I16 | Self::U16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F64 | Self::I64 | Self::U64 => 8,
        }
    }

    pub(crate) fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::Bf16 | Self::F32 | Self::F64)
    }

    /// What the library calls it, if it does.
    pub(crate) fn dtype(self) -> Option<surprisal::Dtype> {
        Some(match self {
            Self::F16 => surprisal::Dtype::F16,
            Self::Bf16 => surprisal::Dtype::Bf16,
            Self::F32 => surprisal::Dtype::F32,
            Self::F64 => surprisal::Dtype::F64,
            _ => return None,
        })
    }

    pub(crate) fn of(dtype: surprisal::Dtype) -> Option<Self> {
        Some(match dtype {
            surprisal::Dtype::F16 => Self::F16,
            surprisal::Dtype::Bf16 => Self::Bf16,
            surprisal::Dtype::F32 => Self::F32,
            surprisal::Dtype::F64 => Self::F64,
            _ => return None,
        })
    }
}

impl std::fmt::Display for FileDtype {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&format!("{self:?}").to_lowercase())
    }
}

/// What a file says of an array, and where its elements begin.
#[derive(Debug)]
struct Header {
    dtype: FileDtype,
    shape: Vec<u64>,
    offset: u64,
    layout: Layout,
    /// Where the file has to end, if its format says that.
    end: Option<u64>,
}

/// How elements lie in a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Layout {
    /// Whether the first index is the fastest, and there are others.
    pub is_fortran: bool,
    /// Whether an element's most significant byte comes first.
    pub is_big_endian: bool,
}
