//! Arrays in files: `.npy` and `.safetensors`.

mod flusher;
mod input;
mod literal;
mod npy;
mod output;
mod pending;
mod safetensors;

use std::path::{Path, PathBuf};
use std::str::FromStr;

pub use input::{Data, InputArray};
pub(crate) use input::{matrix, shown};
pub(crate) use output::{Outputs, check_distinct, check_dtype};
pub(crate) use pending::{PendingFile, publish, resolved};

/// Both formats are little-endian, and are read by casting bytes.
const _: () = assert!(cfg!(target_endian = "little"), "the command needs a little-endian machine");

/// An element type that a file may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are called what they are")]
pub enum FileDtype {
    F16,
    Bf16,
    F32,
    F64,
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
            Self::I8 | Self::U8 => 1,
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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Npy,
    Safetensors,
}

/// A file name with its format, and the tensor in it if one is named.
#[derive(Debug, Clone)]
struct Spec {
    path: PathBuf,
    format: Format,
    tensor: Option<String>,
}

impl FromStr for Spec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const ENDING_AND_COLON: &str = ".safetensors:";
        let ends_with = |ending| {
            Path::new(text).extension().is_some_and(|found| found.eq_ignore_ascii_case(ending))
        };
        // A tensor may have any name, that of a file included: the first such colon divides.
        let colon = text.to_ascii_lowercase().find(ENDING_AND_COLON);
        let (path, tensor) = match colon.map(|at| text.split_at(at + ENDING_AND_COLON.len())) {
            Some((_, "")) => return Err("a tensor's name is missing after the colon".to_owned()),
            Some((path, tensor)) => (&path[..path.len() - 1], Some(tensor.to_owned())),
            None if ends_with("npy") => {
                return Ok(Self { path: text.into(), format: Format::Npy, tensor: None });
            }
            None if ends_with("safetensors") => (text, None),
            None => return Err("files end in .npy or .safetensors".to_owned()),
        };
        Ok(Self { path: path.into(), format: Format::Safetensors, tensor })
    }
}

/// A file to read.
#[derive(Debug, Clone)]
pub struct InputSpec(Spec);

impl FromStr for InputSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

impl InputSpec {
    pub(crate) fn path(&self) -> &Path {
        &self.0.path
    }
}

/// A file to write.
#[derive(Debug, Clone)]
pub(crate) struct OutputSpec(Spec);

impl FromStr for OutputSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

impl OutputSpec {
    pub(crate) fn path(&self) -> &Path {
        &self.0.path
    }
}

impl std::fmt::Display for InputSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.path.display())?;
        self.0.tensor.as_ref().map_or(Ok(()), |tensor| write!(f, ":{tensor}"))
    }
}
