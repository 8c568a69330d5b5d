//! The members of a `.npz` archive, by the rawzip crate.

use std::io::{self, ErrorKind, Read, Seek as _, SeekFrom};

use flate2::Crc;
use flate2::read::DeflateDecoder;
use rawzip::{CompressionMethod, RECOMMENDED_BUFFER_SIZE, ZipArchive};

use crate::files::source::Source;

/// Bytes that are in memory while a member is read: the inflater's window, its tables, and what it
/// reads.
pub(super) const BUFFERS: usize = 128 << 10;
/// Members that are named where one has to be chosen.
const MAX_NAMES: usize = 20;
/// What NumPy puts after the names that it is given.
const ENDING: &str = ".npy";

/// A member as the archive's directory has it.
struct Member<W> {
    name: String,
    place: W,
    method: CompressionMethod,
    is_encrypted: bool,
    crc: u32,
    length: u64,
}

/// The member that is named, with or without `.npy`, or the only one.
pub(super) fn member(archive: Source, name: Option<&str>) -> Result<Source, String> {
    let junk = |error: rawzip::Error| format!("not a .npz archive: {error}");
    let Some((file, _)) = archive.into_file() else {
        return Err("an archive is read in any order".to_owned());
    };
    let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
    let archive = ZipArchive::from_seekable(file, &mut buffer).map_err(junk)?;
    let (mut found, mut names, mut count) = (None, Vec::new(), 0u64);
    let mut entries = archive.entries(&mut buffer);
    while let Some(entry) = entries.next_entry().map_err(junk)? {
        let path = entry.file_path();
        let of_entry = String::from_utf8_lossy(path.as_ref());
        let short = of_entry.strip_suffix(ENDING).unwrap_or(&of_entry);
        count += 1;
        let is_it = name.is_none_or(|name| of_entry == name || short == name);
        // One that is called so in full comes before one that NumPy would call so.
        let is_better = |before: &Member<_>| name == Some(&*of_entry) && before.name != of_entry;
        if is_it && found.as_ref().is_none_or(is_better) {
            found = Some(Member {
                name: of_entry.clone().into_owned(),
                place: entry.wayfinder(),
                method: entry.compression_method(),
                is_encrypted: entry.flags().is_encrypted(),
                crc: entry.crc32(),
                length: entry.uncompressed_size_hint(),
            });
        }
        if names.len() < MAX_NAMES {
            names.push(short.to_owned());
        }
    }
    let more = if count > MAX_NAMES as u64 { ", …" } else { "" };
    let names = names.join(", ") + more;
    let member = match (name, found) {
        (_, None) if count == 0 => return Err("has no members".to_owned()),
        (None, Some(_)) if count > 1 => {
            return Err(format!(
                "has {count} members; name one of {names} after a colon (`-` takes one alone)"
            ));
        }
        (name, None) => {
            return Err(format!("has no member `{}`; it has {names}", name.unwrap_or_default()));
        }
        (_, Some(member)) => member,
    };
    let of_member = |reason: String| format!("its member {}: {reason}", member.name);
    if member.is_encrypted {
        return Err(of_member("is encrypted".to_owned()));
    }
    let entry = archive.get_entry(member.place).map_err(|error| of_member(error.to_string()))?;
    let (start, end) = entry.compressed_data_range();
    let mut file = archive.into_inner().into_inner();
    file.seek(SeekFrom::Start(start)).map_err(|error| error.to_string())?;
    let stored = Read::take(file, end.saturating_sub(start));
    let (crc, left) = (member.crc, member.length);
    let reader: Box<dyn Read + Send> = match member.method {
        CompressionMethod::STORE => {
            Box::new(Checked { reader: stored, sum: Crc::new(), crc, left })
        }
        CompressionMethod::DEFLATE => {
            let reader = DeflateDecoder::new(stored);
            Box::new(Checked { reader, sum: Crc::new(), crc, left })
        }
        other => return Err(of_member(format!("is compressed by {other}; deflate is read"))),
    };
    Ok(Source::once(reader, Some(member.length)))
}

/// A member's bytes; what reads the last of them learns whether they are those that were written.
struct Checked<R> {
    reader: R,
    sum: Crc,
    crc: u32,
    left: u64,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        if most == 0 {
            return Ok(0);
        }
        let count = self.reader.read(&mut bytes[..most])?;
        self.sum.update(&bytes[..count]);
        self.left -= count as u64;
        if self.left == 0 && self.sum.sum() != self.crc {
            return Err(io::Error::new(ErrorKind::InvalidData, "its checksum is wrong"));
        }
        Ok(count)
    }
}
