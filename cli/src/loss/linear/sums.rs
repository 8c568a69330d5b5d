//! Sums that are too large for memory.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use crate::error::{Failure, Result};

/// A matrix of f32 in a file without a name, to which one of the same shape is added part by part, from
/// the first to the last, again and again.
pub(super) struct Sums {
    file: File,
    /// What the sums are for: the file that is named where something fails.
    of: PathBuf,
    elements: usize,
}

impl Sums {
    /// Of nothing, in a folder.
    pub(super) fn of(path: &Path, folder: &Path) -> Result<Self> {
        let file = tempfile::tempfile_in(folder).map_err(|error| Failure::write(path, error))?;
        Ok(Self { file, of: path.to_owned(), elements: 0 })
    }

    /// Adds what was there to the part that begins with the element `first`; stores it, unless it is the
    /// last time.
    pub(super) fn add(&mut self, first: usize, part: &mut [f32], is_last: bool) -> Result<()> {
        self.try_add(first, part, is_last).map_err(|error| Failure::write(&self.of, error))
    }

    fn try_add(&mut self, first: usize, part: &mut [f32], is_last: bool) -> std::io::Result<()> {
        let start = SeekFrom::Start(4 * first as u64);
        if first < self.elements {
            let mut before = vec![0.0f32; part.len()];
            self.file.seek(start)?;
            self.file.read_exact(bytemuck::cast_slice_mut(&mut before))?;
            for (x, before) in part.iter_mut().zip(before) {
                *x += before;
            }
        }
        if !is_last {
            self.file.seek(start)?;
            self.file.write_all(bytemuck::cast_slice(part))?;
            self.elements = self.elements.max(first + part.len());
        }
        Ok(())
    }
}
