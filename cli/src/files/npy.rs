//! The header of a `.npy` file; the elements are read and written as bytes.

use std::io::{self, Read, Write};

use crate::files::literal::{Dictionary, Refusal};
use crate::files::{FileDtype, Header, Layout};

pub(super) const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Bytes of a header's text at most, as `numpy.load` has it.
const MAX_TEXT: u64 = 10_000;
/// The elements start at a multiple of this, as NumPy writes it.
const ALIGNMENT: usize = 64;

/// Reads the header at the start of a file of so many bytes.
pub(super) fn read_header(file: &mut impl Read, bytes: u64) -> Result<Header, String> {
    let junk = |reason: &str| format!("not a .npy file: {reason}");
    let unread = |error: io::Error, reason: &str| match error.kind() {
        io::ErrorKind::UnexpectedEof => junk(reason),
        _ => error.to_string(),
    };
    let mut start = [0; 12];
    let (magic, length) = start.split_at_mut(8);
    file.read_exact(magic).map_err(|error| unread(error, "it has no header"))?;
    if magic[..6] != *MAGIC {
        return Err(junk("it does not begin like one"));
    }
    let length = match (magic[6], magic[7]) {
        (1, 0) => &mut length[..2],
        (2 | 3, 0) => length,
        (major, minor) => return Err(junk(&format!("version {major}.{minor} is unknown"))),
    };
    file.read_exact(length).map_err(|error| unread(error, "it has no header"))?;
    let text_start = 8 + length.len() as u64;
    let length = length.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte));
    if length > bytes.saturating_sub(text_start) {
        return Err(junk("its header is longer than the file"));
    }
    if length > MAX_TEXT {
        return Err(junk(&format!("its header is longer than {MAX_TEXT} bytes")));
    }
    let mut text = vec![0; length as usize];
    file.read_exact(&mut text)
        .map_err(|error| unread(error, "its header is longer than the file"))?;
    let text = str::from_utf8(&text).map_err(|_| junk("its header is no text"))?;
    let dictionary = Dictionary::parse(text).map_err(|refusal| match refusal {
        Refusal::Junk(reason) => junk(&reason),
        Refusal::Records => "holds records; plain numbers are read".to_owned(),
    })?;
    let (dtype, is_big_endian) = dtype_of(dictionary.descr)?;
    let is_fortran = dictionary.fortran_order && dictionary.shape.len() > 1;
    let layout = Layout { is_fortran, is_big_endian };
    let offset = text_start + length;
    Ok(Header { dtype, shape: dictionary.shape, offset, layout, end: None })
}

/// The type, and whether it is big-endian.
fn dtype_of(descr: &str) -> Result<(FileDtype, bool), String> {
    let unknown = || format!("holds {descr}; f2, f4, f8, integers and bool are read");
    // Of one byte there is one order, whatever is said.
    let (order, kind) = descr.split_at_checked(1).ok_or_else(unknown)?;
    let dtype = match kind {
        "f2" => FileDtype::F16,
        "f4" => FileDtype::F32,
        "f8" => FileDtype::F64,
        "b1" => FileDtype::Bool,
        "i1" => FileDtype::I8,
        "u1" => FileDtype::U8,
        "i2" => FileDtype::I16,
        "u2" => FileDtype::U16,
        "i4" => FileDtype::I32,
        "u4" => FileDtype::U32,
        "i8" => FileDtype::I64,
        "u8" => FileDtype::U64,
        _ => return Err(unknown()),
    };
    match (order, dtype.size()) {
        ("|" | "<" | ">" | "=", 1) | ("<" | "=", _) => Ok((dtype, false)),
        (">", _) => Ok((dtype, true)),
        _ => Err(unknown()),
    }
}

/// Writes the header before the elements.
pub(super) fn write_header(
    out: &mut impl Write,
    dtype: FileDtype,
    shape: &[u64],
) -> io::Result<()> {
    let invalid = |message: String| io::Error::new(io::ErrorKind::InvalidInput, message);
    let descr = match dtype {
        FileDtype::F16 => "<f2",
        FileDtype::F32 => "<f4",
        FileDtype::F64 => "<f8",
        other => return Err(invalid(format!("{other} is not written to .npy"))),
    };
    let sizes: Vec<_> = shape.iter().map(u64::to_string).collect();
    let comma = if sizes.len() == 1 { "," } else { "" };
    let shape = sizes.join(", ") + comma;
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
    // After the text comes a newline, before it what it takes to say what the file is.
    let before = MAGIC.len() + 4;
    let length = (before + text.len() + 1).next_multiple_of(ALIGNMENT) - before;
    if length as u64 > MAX_TEXT {
        return Err(invalid(format!("its header would take more than {MAX_TEXT} bytes")));
    }
    text.extend(std::iter::repeat_n(' ', length - 1 - text.len()));
    out.write_all(MAGIC)?;
    out.write_all(&[1, 0])?;
    out.write_all(&(length as u16).to_le_bytes())?;
    writeln!(out, "{text}")
}

#[cfg(test)]
mod tests {
    use npyz::WriterBuilder as _;

    use super::{FileDtype, read_header, write_header};

    const SHAPES: [&[u64]; 6] = [&[], &[0], &[7], &[3, 2], &[1797, 10], &[1, 2, 3, 4, 5, 6, 7, 8]];

    #[test]
    fn headers_that_are_written_are_those_of_the_npyz_crate() {
        for (dtype, descr) in
            [(FileDtype::F16, "<f2"), (FileDtype::F32, "<f4"), (FileDtype::F64, "<f8")]
        {
            for shape in SHAPES {
                let (mut got, mut theirs) = (Vec::new(), Vec::new());
                write_header(&mut got, dtype, shape).expect("memory can be written");
                npyz::WriteOptions::new_header_only()
                    .dtype(npyz::DType::new_scalar(descr.parse().expect("it is one")))
                    .shape(shape)
                    .writer(&mut theirs)
                    .write_header_only()
                    .expect("memory can be written");
                assert_eq!(got.len() % 64, 0);
                let header = npyz::NpyHeader::from_reader(&got[..]).expect("it is sound");
                assert_eq!(header.shape(), shape);
                assert_eq!(header.dtype().descr(), format!("'{descr}'"));
                for bytes in [got, theirs] {
                    let length = bytes.len() as u64;
                    let header = read_header(&mut &bytes[..], length).expect("it is sound");
                    assert_eq!((header.dtype, &header.shape[..]), (dtype, shape));
                    assert_eq!(header.offset, length);
                }
            }
        }
    }

    #[test]
    fn headers_that_would_be_too_long_to_read_again() {
        let error =
            write_header(&mut Vec::new(), FileDtype::F32, &vec![1; 4000]).expect_err("12 KB");
        assert!(error.to_string().contains("10000"), "{error}");
    }
}
