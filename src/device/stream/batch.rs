//! What is known of a batch before it is computed: its shape, and the memory that its windows will take.

use crate::device::{Device, Inner};
use crate::error::Result;
use crate::op::{Op, Targets, folded};

/// What has to be known of a batch before its first window: its shape and, because a mean divides by
/// what they come to, its class indices.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Columns of the rows that messages speak of.
    pub(super) shown_columns: usize,
    pub(super) window_rows: usize,
    pub(super) targets: Option<Targets<'a>>,
    /// Which rows count.
    pub(super) mask: Option<&'a [bool]>,
    /// How many elements count.
    pub(super) kept_elements: Option<usize>,
}

impl<'a> Batch<'a> {
    /// A batch `[rows, columns]` that comes in windows of no more than `window_rows`.
    pub fn new(rows: usize, columns: usize, window_rows: usize) -> Self {
        let window_rows = window_rows.clamp(1, rows.max(1));
        Self {
            rows,
            columns,
            shown_columns: columns,
            window_rows,
            targets: None,
            mask: None,
            kept_elements: None,
        }
    }

    /// A batch `[rows, columns]` of elements to which rows mean nothing, as matrices of other shapes
    /// are to an elementwise loss without a `pos_weight` for each column, folded into rows that are easy to cut: of up
    /// to 2048 elements where their number allows it. Windows have [`columns`](Self::columns) then;
    /// errors speak of the rows that were given. A window has up to `window_elements`, and a row at
    /// least.
    ///
    /// ```
    /// use surprisal::stream::Batch;
    ///
    /// let batch = Batch::of_elements(1, 1 << 30, 1 << 20);
    /// assert_eq!((batch.rows(), batch.columns(), batch.window_rows()), (1 << 19, 2048, 512));
    /// ```
    pub fn of_elements(rows: usize, columns: usize, window_elements: usize) -> Self {
        let (folded_rows, folded_columns) = folded((rows as u64).saturating_mul(columns as u64));
        let window_rows = window_elements / folded_columns as usize;
        let batch = Self::new(folded_rows as usize, folded_columns as usize, window_rows);
        Self { shown_columns: columns, ..batch }
    }

    /// Sets the class indices of all rows. Each window comes with its own all the same.
    #[must_use]
    pub fn with_targets(mut self, targets: impl Into<Targets<'a>>) -> Self {
        self.targets = Some(targets.into());
        self
    }

    /// Sets which rows count, `[rows]`: one bool each, true counts. Windows need not say it again.
    ///
    /// ```
    /// use surprisal::stream::Batch;
    /// use surprisal::{Device, LogSumExp, Matrix};
    ///
    /// let device = Device::cpu();
    /// let batch = Batch::new(2, 1, 1).with_mask(&[false, true]);
    /// let mut stream = device.stream(&LogSumExp, batch)?;
    /// let first = stream.push(Matrix::new(&[f32::NAN], 1, 1)?)?;
    /// let second = stream.push(Matrix::new(&[2.0f32], 1, 1)?)?;
    /// assert_eq!(first.each.unwrap().to_f64(), [0.0]);
    /// assert_eq!(second.each.unwrap().to_f64(), [2.0]);
    /// assert_eq!(stream.finish()?.kept_rows, 1);
    /// # Ok::<(), surprisal::Error>(())
    /// ```
    #[must_use]
    pub fn with_mask(mut self, mask: &'a [bool]) -> Self {
        self.mask = Some(mask);
        self
    }

    /// Sets how many elements count, of an elementwise loss whose windows have masks or ignored
    /// labels: a mean divides by it. All unless set.
    #[must_use]
    pub fn with_kept_elements(mut self, count: usize) -> Self {
        self.kept_elements = Some(count);
        self
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many columns they have.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The most rows that a window may have.
    pub fn window_rows(&self) -> usize {
        self.window_rows
    }
}

/// Bytes of host and device memory that a stream needs at most, beside what is handed to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamBytes {
    /// For each row of every window that is under way, what it returns included.
    pub window_row: usize,
    /// For each row of a window, once.
    pub device_row: usize,
    /// For each row of the batch.
    pub row: usize,
}

impl Device {
    /// What a stream of windows will take, for an operation on matrices that come in `dtypes`; see
    /// [`StreamBytes`].
    ///
    /// # Errors
    /// What the operation says of its options.
    pub fn stream_bytes<O: Op>(
        &self,
        op: &O,
        columns: usize,
        dtypes: &[crate::Dtype],
    ) -> Result<StreamBytes> {
        let kind = op.operation()?.0;
        let first = dtypes.first().map_or(4, |dtype| dtype.size());
        let by_element = kind.output().by_element();
        let made = usize::from(kind.output().has_matrix());
        let times = |bytes: usize| columns.saturating_mul(bytes);
        Ok(match &self.inner {
            Inner::Cpu(_) => {
                let each = times(4 * usize::from(by_element));
                StreamBytes {
                    window_row: times(first * made).saturating_add(each).saturating_add(48),
                    device_row: 0,
                    row: 0,
                }
            }
            // Everything as f64, with the gradients that there could be.
            Inner::Reference => {
                let each = times(8 * usize::from(by_element));
                let copies = times(8 * (dtypes.len() + 3)).saturating_add(96);
                StreamBytes { window_row: copies.saturating_add(each), device_row: 0, row: 0 }
            }
            #[cfg(feature = "gpu")]
            Inner::Gpu(_) => {
                let stored: usize = self.storage(dtypes).iter().map(|dtype| dtype.size()).sum();
                let each = times(8 * usize::from(by_element)).saturating_add(64);
                // Staged on its way there and back, and returned; on the device, and rounded to f32
                // on the way where it has to be.
                let window_row = times(stored + (4 + first) * made).saturating_add(each);
                // A class index, and of every 4096 rows what they weigh.
                let has_indices = kind.takes_indices() && dtypes.len() == 1;
                StreamBytes {
                    window_row,
                    device_row: times(2 * stored).saturating_add(each),
                    row: if has_indices { 9 } else { 0 },
                }
            }
        })
    }
}
