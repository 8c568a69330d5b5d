//! How many rows a window may have.

use surprisal::{Batch, Device, Dtype, Stream};

use super::{RING, Rows, held_size};
use crate::args::{DtypeArg, MemoryLimit};
use crate::error::{Failure, Result};
use crate::files::FileDtype;
use crate::storage::as_read;

/// Bytes of a window's matrices: enough that reading and writing run at their full rate, and few
/// enough that what was read is in a cache when it is computed.
const WINDOW: usize = 8 << 20;

pub(super) struct Room<'a> {
    pub(super) device: &'a Device,
    pub(super) limit: &'a MemoryLimit,
    pub(super) asked: Option<DtypeArg>,
    pub(super) resident: u64,
    pub(super) rows_are: Rows,
}

impl Room<'_> {
    /// The batch in windows that fit the limit.
    pub(super) fn batch<O: Stream>(
        &self,
        op: &O,
        (rows, columns): (usize, usize),
        files: &[FileDtype],
    ) -> Result<Batch<'static>> {
        let of = |window: usize| match self.rows_are {
            Rows::Whole => Batch::new(rows, columns, window),
            Rows::Folded => {
                let columns_folded = Batch::of_elements(rows, columns, 1).columns();
                Batch::of_elements(rows, columns, window.saturating_mul(columns_folded))
            }
        };
        Ok(of(self.rows(op, of(1), files)?))
    }

    /// Rows that fit the limit, each with all that it needs on its way.
    fn rows<O: Stream>(&self, op: &O, batch: Batch<'_>, files: &[FileDtype]) -> Result<usize> {
        let columns = batch.columns();
        let held = |&file: &FileDtype| held_size(file, self.asked);
        let read: usize = files.iter().map(held).sum();
        // As it stands in the file, where it is stored in another way.
        let raw = files.iter().map(|file| file.size() as usize).max().unwrap_or(0);
        let dtypes: Vec<Dtype> =
            files.iter().map(|&file| self.asked.map_or(as_read(file), Dtype::from)).collect();
        let bytes = self.device.stream_bytes(op, columns, &dtypes);
        // What was returned goes round with its window.
        let row = columns * (RING * read + raw) + RING * bytes.window_row;
        let resident = self.resident.saturating_add((bytes.row as u64) * batch.rows() as u64);
        let room = self.limit.bytes.saturating_sub(resident);
        let rows = usize::try_from(room / row.max(1) as u64).unwrap_or(usize::MAX);
        if rows == 0 {
            let limit = self.limit;
            let kept = if resident > 0 {
                format!(", beside {resident} for the batch")
            } else {
                String::new()
            };
            let what = match self.rows_are {
                Rows::Whole => format!("a row of {columns} columns takes"),
                Rows::Folded => format!("{columns} elements take"),
            };
            return Err(Failure::input(format!(
                "{limit}: {what} {row} bytes on the way through the device{kept}"
            )));
        }
        Ok(rows.min((WINDOW / (columns * read).max(1)).max(1)))
    }
}
