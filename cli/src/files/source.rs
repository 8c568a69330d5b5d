//! Bytes that are read: of a file in any order, of a pipe or an archive's member from its start to its
//! end.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Failure, Result};
use crate::files::spec::Spec;

/// Whether anything was read that cannot be read again, or written that cannot be taken back.
static PIPED: AtomicBool = AtomicBool::new(false);

/// Whether the run cannot start over.
pub(crate) fn is_piped() -> bool {
    PIPED.load(Ordering::Relaxed)
}

pub(super) fn note_pipe() {
    PIPED.store(true, Ordering::Relaxed);
}

/// A file, or what stands for one.
pub(super) trait Seekable: Read + Seek + Send {}
impl<T: Read + Seek + Send> Seekable for T {}

pub(super) struct Source {
    bytes: Bytes,
    /// How many there are, if that is known.
    length: Option<u64>,
}

enum Bytes {
    /// From `base` on.
    Anywhere {
        file: Box<dyn Seekable>,
        base: u64,
    },
    Once {
        reader: Box<dyn Read + Send>,
        position: u64,
    },
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("length", &self.length).finish_non_exhaustive()
    }
}

impl Read for Source {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match &mut self.bytes {
            Bytes::Anywhere { file, .. } => file.read(bytes),
            Bytes::Once { reader, position } => {
                let count = reader.read(bytes)?;
                *position += count as u64;
                Ok(count)
            }
        }
    }
}

impl Source {
    /// All of a file.
    pub(super) fn file(mut file: Box<dyn Seekable>) -> io::Result<Self> {
        let length = file.seek(SeekFrom::End(0))?;
        Self::part(file, 0, length)
    }

    /// A part of a file.
    pub(super) fn part(mut file: Box<dyn Seekable>, base: u64, length: u64) -> io::Result<Self> {
        file.seek(SeekFrom::Start(base))?;
        Ok(Self { bytes: Bytes::Anywhere { file, base }, length: Some(length) })
    }

    pub(super) fn once(reader: Box<dyn Read + Send>, length: Option<u64>) -> Self {
        Self { bytes: Bytes::Once { reader, position: 0 }, length }
    }

    /// What is to be read, standing at its start.
    pub(super) fn open(spec: &Spec) -> Result<Self> {
        let failed = |error: io::Error| Failure::input(format!("{}: {error}", spec.path.display()));
        if spec.is_stdio() {
            note_pipe();
            return Ok(Self::once(Box::new(stdin().map_err(failed)?), None));
        }
        // Opening a pipe waits for somebody to write to it.
        let metadata = spec.path.metadata().map_err(failed)?;
        let is_pipe = spec.is_pipe();
        if !metadata.is_file() && !is_pipe {
            return Err(Failure::input(format!("{spec}: not a file")));
        }
        let file = File::open(&spec.path).map_err(failed)?;
        if is_pipe {
            note_pipe();
            return Ok(Self::once(Box::new(file), None));
        }
        Self::file(Box::new(file)).map_err(failed)
    }

    /// The first bytes, as many as there are of so many; they are still to be read.
    pub(super) fn start<const N: usize>(&mut self) -> io::Result<Vec<u8>> {
        let mut start = Vec::new();
        self.by_ref().take(N as u64).read_to_end(&mut start)?;
        match &mut self.bytes {
            Bytes::Anywhere { file, base } => drop(file.seek(SeekFrom::Start(*base))?),
            Bytes::Once { reader, position } => {
                let rest = std::mem::replace(reader, Box::new(io::empty()));
                *reader = Box::new(io::Cursor::new(start.clone()).chain(rest));
                *position = 0;
            }
        }
        Ok(start)
    }

    pub(super) fn length(&self) -> Option<u64> {
        self.length
    }

    /// Whether it is read from its start to its end only.
    pub(super) fn is_once(&self) -> bool {
        matches!(self.bytes, Bytes::Once { .. })
    }

    /// The file behind it, if there is one.
    pub(super) fn into_file(self) -> Option<(Box<dyn Seekable>, u64)> {
        match self.bytes {
            Bytes::Anywhere { file, .. } => Some((file, self.length?)),
            Bytes::Once { .. } => None,
        }
    }

    /// Reads what begins at `offset`. What is read once is skipped up to there.
    pub(super) fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        match &mut self.bytes {
            Bytes::Anywhere { file, base } => {
                file.seek(SeekFrom::Start(*base + offset))?;
            }
            Bytes::Once { position, .. } => {
                let skipped = offset.checked_sub(*position);
                let skipped = skipped.ok_or_else(|| io::Error::other("cannot be read twice"))?;
                if io::copy(&mut self.by_ref().take(skipped), &mut io::sink())? < skipped {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
            }
        }
        self.read_exact(bytes)
    }

    /// All elements are read. What has a checksum or an end that is known is read up to there, and has
    /// to end there.
    pub(super) fn finish(&mut self, total: Option<u64>) -> io::Result<()> {
        let (Bytes::Once { position, .. }, Some(total)) = (&self.bytes, total.or(self.length))
        else {
            return Ok(());
        };
        let rest = total.saturating_sub(*position);
        if io::copy(&mut self.by_ref().take(rest), &mut io::sink())? < rest {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        match self.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(io::Error::new(ErrorKind::InvalidData, "bytes follow its end")),
        }
    }

    /// Makes it one that can be read in any order: what cannot goes to a file without a name, in the
    /// folder for temporary ones.
    pub(super) fn into_seekable(mut self) -> io::Result<Self> {
        let Bytes::Once { position, .. } = self.bytes else { return Ok(self) };
        let mut file = tempfile::tempfile()?;
        // Elements keep their offsets: what was read already is a hole.
        file.seek(SeekFrom::Start(position))?;
        io::copy(&mut self, &mut file)?;
        Self::file(Box::new(file))
    }
}

#[cfg(unix)]
pub(super) fn stdin() -> io::Result<File> {
    use std::os::fd::AsFd as _;
    Ok(io::stdin().as_fd().try_clone_to_owned()?.into())
}

#[cfg(windows)]
pub(super) fn stdin() -> io::Result<File> {
    use std::os::windows::io::AsHandle as _;
    Ok(io::stdin().as_handle().try_clone_to_owned()?.into())
}

#[cfg(unix)]
pub(super) fn stdout() -> io::Result<File> {
    use std::os::fd::AsFd as _;
    Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
}

#[cfg(windows)]
pub(super) fn stdout() -> io::Result<File> {
    use std::os::windows::io::AsHandle as _;
    Ok(io::stdout().as_handle().try_clone_to_owned()?.into())
}
