//! The header of a `.safetensors` file, by the safetensors crate; the elements are read and written
//! as bytes.

use std::fmt;
use std::io::{Read, Write};

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::files::{FileDtype, Header, Layout};

/// The format's own limit.
const MAX_HEADER: u64 = 100_000_000;
/// The one name that is no tensor's.
pub(super) const METADATA: &str = "__metadata__";

/// The header of the tensor that is named, or of the only one, in a file of so many bytes; of a pipe
/// that is not known.
pub(super) fn read_header(
    file: &mut impl Read,
    bytes: Option<u64>,
    tensor: Option<&str>,
) -> Result<Header, String> {
    let junk = |reason: &str| format!("not a .safetensors file: {reason}");
    let (file_ends, bytes) = (bytes.is_some(), bytes.unwrap_or(u64::MAX));
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(|_| junk("it has no header"))?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER || length > bytes.saturating_sub(8) {
        return Err(junk("its header is longer than the file"));
    }
    // It grows as it is read: of a pipe's length there is only the header's word.
    let mut header = Vec::new();
    file.take(length).read_to_end(&mut header).map_err(|error| error.to_string())?;
    if (header.len() as u64) < length {
        return Err(junk("its header is longer than the file"));
    }
    let Tensors(mut tensors) =
        serde_json::from_slice(&header).map_err(|error| junk(&error.to_string()))?;
    tensors.sort_by_key(|(_, info)| info.data_offsets);
    let count = tensors.len();
    let metadata = Metadata::new(None, tensors).map_err(|error| junk(&error.to_string()))?;
    if metadata.offset_keys().len() != count {
        return Err(junk("two of its tensors have one name"));
    }
    let info = choose(&metadata, tensor)?;
    let dtype = dtype_of(info.dtype)?;
    let shape = info.shape.iter().map(|&n| n as u64).collect();
    let offset = (info.data_offsets.0 as u64).checked_add(8 + length);
    let offset = offset.ok_or_else(|| junk("its tensors are longer than any file"))?;
    let end = (metadata.data_len() as u64).checked_add(8 + length);
    let end = end.ok_or_else(|| junk("its tensors are longer than any file"))?;
    if file_ends && end < bytes {
        return Err(junk(&format!("{} bytes follow its last tensor", bytes - end)));
    }
    Ok(Header { dtype, shape, offset, layout: Layout::default(), end: Some(end) })
}

/// The tensors in the order of the header. (The crate's own way in keeps the last of a name.)
struct Tensors(Vec<(String, TensorInfo)>);

impl<'de> Deserialize<'de> for Tensors {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries)
    }
}

struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Tensors;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tensors by their names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tensors, A::Error> {
        let mut tensors = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == METADATA {
                map.next_value::<IgnoredAny>()?;
            } else {
                tensors.push((name, map.next_value()?));
            }
        }
        Ok(Tensors(tensors))
    }
}

fn choose<'a>(metadata: &'a Metadata, tensor: Option<&str>) -> Result<&'a TensorInfo, String> {
    let tensors = metadata.tensors();
    let mut names: Vec<&str> = tensors.keys().map(String::as_str).collect();
    names.sort_unstable();
    let names = names.join(", ");
    match tensor {
        Some(name) => {
            metadata.info(name).ok_or_else(|| format!("has no tensor `{name}`; it has {names}"))
        }
        None if tensors.len() == 1 => {
            tensors.into_values().next().ok_or_else(|| "has no tensors".to_owned())
        }
        None if tensors.is_empty() => Err("has no tensors".to_owned()),
        None => {
            let count = tensors.len();
            Err(format!(
                "has {count} tensors; name one of {names} after a colon (`-` takes one alone)"
            ))
        }
    }
}

fn dtype_of(dtype: Dtype) -> Result<FileDtype, String> {
    Ok(match dtype {
        Dtype::F16 => FileDtype::F16,
        Dtype::BF16 => FileDtype::Bf16,
        Dtype::F32 => FileDtype::F32,
        Dtype::F64 => FileDtype::F64,
        Dtype::BOOL => FileDtype::Bool,
        Dtype::I8 => FileDtype::I8,
        Dtype::U8 => FileDtype::U8,
        Dtype::I16 => FileDtype::I16,
        Dtype::U16 => FileDtype::U16,
        Dtype::I32 => FileDtype::I32,
        Dtype::U32 => FileDtype::U32,
        Dtype::I64 => FileDtype::I64,
        Dtype::U64 => FileDtype::U64,
        other => {
            return Err(format!(
                "holds {other:?}; F16, BF16, F32, F64, integers and BOOL are read"
            ));
        }
    })
}

/// Writes the header of a file with one tensor.
pub(super) fn write_header(
    out: &mut impl Write,
    name: &str,
    dtype: FileDtype,
    shape: &[u64],
) -> std::io::Result<()> {
    let invalid = std::io::Error::other::<String>;
    let dtype = match dtype {
        FileDtype::F16 => Dtype::F16,
        FileDtype::Bf16 => Dtype::BF16,
        FileDtype::F32 => Dtype::F32,
        FileDtype::F64 => Dtype::F64,
        other => return Err(invalid(format!("{other} is not written"))),
    };
    let shape: Vec<usize> = shape.iter().map(|&n| n as usize).collect();
    let bytes = shape.iter().product::<usize>() * dtype.bitsize() / 8;
    let info = TensorInfo { dtype, shape, data_offsets: (0, bytes) };
    let metadata = Metadata::new(None, vec![(name.to_owned(), info)])
        .map_err(|error| invalid(error.to_string()))?;
    let mut header = serde_json::to_vec(&metadata)?;
    // The elements start at a multiple of eight.
    header.resize(header.len().next_multiple_of(8), b' ');
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)
}
