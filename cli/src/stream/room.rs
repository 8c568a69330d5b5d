//! How many rows a window may have, and how many windows there may be.

use surprisal::stream::Batch;
use surprisal::{Device, DeviceKind, Dtype, Op};

use super::{Rows, held_size};
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

/// What a row takes on its way.
#[derive(Debug, Clone, Copy)]
struct RowBytes {
    /// In every window that is under way.
    each: usize,
    /// Once.
    once: usize,
}

impl RowBytes {
    fn of_windows(self, windows: usize) -> usize {
        windows * self.each + self.once
    }
}

impl Room<'_> {
    /// The batch in windows that fit the limit, and how many of them may be under way.
    pub(super) fn batch<O: Op>(
        &self,
        op: &O,
        (rows, columns): (usize, usize),
        files: &[FileDtype],
    ) -> Result<(Batch<'static>, usize)> {
        let of = |window: usize| match self.rows_are {
            Rows::Whole => Batch::new(rows, columns, window),
            Rows::Folded => {
                let columns_folded = Batch::of_elements(rows, columns, 1).columns();
                Batch::of_elements(rows, columns, window.saturating_mul(columns_folded))
            }
        };
        let (window_rows, windows) = self.windows(op, of(1), files)?;
        Ok((of(window_rows), windows))
    }

    /// How many windows are under way, if there is memory for as many rows: one for each stage; on a GPU one
    /// is copied there while another is computed.
    fn wanted(&self) -> [usize; 2] {
        if self.device.info().kind == DeviceKind::Gpu { [5, 3] } else { [4, 3] }
    }

    /// Rows that fit the limit, each with all that it needs on its way, in so many windows.
    fn windows<O: Op>(
        &self,
        op: &O,
        batch: Batch<'_>,
        files: &[FileDtype],
    ) -> Result<(usize, usize)> {
        let columns = batch.columns();
        let dtype = |&file: &FileDtype| self.asked.map_or(as_read(file), Dtype::from);
        let dtypes: Vec<_> = files.iter().map(dtype).collect();
        let bytes = self.device.stream_bytes(op, columns, &dtypes);
        let bytes = bytes.map_err(|error| Failure::input(error.to_string()))?;
        let resident = self.resident.saturating_add(bytes.row as u64 * batch.rows() as u64);
        let room = self.limit.bytes.saturating_sub(resident);
        let held = |&file: &FileDtype| held_size(file, self.asked);
        let read = columns * files.iter().map(held).sum::<usize>();
        // As it stands in the file, where it is stored in another way.
        let raw = columns * files.iter().map(|file| file.size() as usize).max().unwrap_or(0);
        // What was returned goes round with its window.
        let row = RowBytes { each: read + bytes.window_row, once: raw + bytes.device_row };
        let largest = (WINDOW / read.max(1)).max(1);
        let fitting = self.wanted().into_iter().find_map(|windows| {
            let rows = room / row.of_windows(windows).max(1) as u64;
            (rows > 0).then(|| (usize::try_from(rows).unwrap_or(usize::MAX).min(largest), windows))
        });
        fitting.ok_or_else(|| self.too_small(columns, row, resident))
    }

    fn too_small(&self, columns: usize, row: RowBytes, resident: u64) -> Failure {
        let (limit, windows) = (self.limit, self.wanted()[1]);
        let kept =
            if resident > 0 { format!(", beside {resident} for the batch") } else { String::new() };
        let what = match self.rows_are {
            Rows::Whole => format!("a row of {columns} columns takes"),
            Rows::Folded => format!("{columns} elements take"),
        };
        let row = row.of_windows(windows);
        Failure::input(format!("{limit}: {what} {row} bytes on the way through the device{kept}"))
    }
}
