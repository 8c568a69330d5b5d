//! The header of a `.npy` file, by the npyz crate; the elements are read and written as bytes.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use npyz::{DType, NpyHeader, Order, WriterBuilder as _};

use crate::files::FileDtype;

/// Headers are a few hundred bytes; a longer one is junk.
const MAX_HEADER: u64 = 1 << 20;

/// Dtype, shape and the offset of the first element.
pub(super) fn read_header(file: &mut File) -> Result<(FileDtype, Vec<u64>, u64), String> {
    // npyz multiplies the dimensions of a shape without looking for overflow, which panics in builds
    // that check for it.
    let reader = AssertUnwindSafe(|| NpyHeader::from_reader(file.take(MAX_HEADER)));
    let header = catch_unwind(reader)
        .map_err(|_| "claims a shape that no file can have".to_owned())?
        .map_err(|error| format!("not a .npy file: {error}"))?;
    let offset = file.stream_position().map_err(|error| error.to_string())?;
    if header.order() == Order::Fortran && header.shape().len() > 1 {
        return Err("is in Fortran order; save it with np.ascontiguousarray".to_owned());
    }
    let dtype = match header.dtype() {
        DType::Plain(plain) => dtype_of(&plain.to_string())?,
        other => return Err(format!("holds records {}; plain numbers are read", other.descr())),
    };
    Ok((dtype, header.shape().to_vec(), offset))
}

fn dtype_of(code: &str) -> Result<FileDtype, String> {
    if code.starts_with('>') {
        return Err(format!("is big-endian ({code}); save it little-endian"));
    }
    Ok(match &code[1..] {
        "f2" => FileDtype::F16,
        "f4" => FileDtype::F32,
        "f8" => FileDtype::F64,
        "i1" => FileDtype::I8,
        "u1" => FileDtype::U8,
        "i2" => FileDtype::I16,
        "u2" => FileDtype::U16,
        "i4" => FileDtype::I32,
        "u4" => FileDtype::U32,
        "i8" => FileDtype::I64,
        "u8" => FileDtype::U64,
        _ => return Err(format!("holds {code}; f2, f4, f8 and integers are read")),
    })
}

/// Writes the header before the elements.
pub(super) fn write_header(
    out: &mut impl Write,
    dtype: FileDtype,
    shape: &[u64],
) -> std::io::Result<()> {
    let code = match dtype {
        FileDtype::F16 => "<f2",
        FileDtype::F32 => "<f4",
        FileDtype::F64 => "<f8",
        other => {
            let message = format!("{other} is not written to .npy");
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, message));
        }
    };
    let dtype = DType::new_scalar(code.parse().map_err(std::io::Error::other)?);
    npyz::WriteOptions::new_header_only()
        .dtype(dtype)
        .shape(shape)
        .writer(out)
        .write_header_only()
        .map(drop)
}
