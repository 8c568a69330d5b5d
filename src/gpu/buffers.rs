//! What callers hand over: ranges of their own buffers, with shapes.

use std::ops::Range;

use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::gpu::plan::Region;
use crate::op::Upstream;

/// A matrix `[rows, classes]` in a buffer of the caller's: of f32, or of f16 or bf16 without a gap
/// between two.
///
/// The buffer needs the usage `STORAGE`. Rows may start at any element; kernels are fastest where
/// all rows start at multiples of four elements, and have a multiple of four. The GPU touches whole
/// u32s: a 16-bit matrix that ends in the middle of one needs the other half in its buffer, and
/// leaves it as it is.
#[derive(Debug, Clone, Copy)]
pub struct MatrixBuffer<'a> {
    pub(crate) buffer: &'a wgpu::Buffer,
    pub(crate) region: Region,
    pub(crate) rows: u64,
    pub(crate) classes: u64,
    /// Rows that the buffer holds at a time, where not all.
    pub(crate) held: Option<u64>,
}

impl<'a> MatrixBuffer<'a> {
    /// A matrix that starts with its buffer, row after row without gaps.
    pub fn new(buffer: &'a wgpu::Buffer, rows: u64, classes: u64) -> Self {
        let region = Region { offset: 0, row_stride: classes, dtype: Dtype::F32 };
        Self { buffer, region, rows, classes, held: None }
    }

    /// The buffer holds a window of so many rows at a time.
    pub(crate) fn with_room(mut self, rows: u64) -> Self {
        self.held = Some(rows);
        self
    }

    fn rows_held(&self) -> u64 {
        self.held.map_or(self.rows, |held| held.min(self.rows))
    }

    /// How its elements are stored: [`Dtype::F32`] unless set, [`Dtype::F16`] or [`Dtype::Bf16`].
    /// All matrices of a call have one type, but for losses of elements and their upstream gradient,
    /// which are f32.
    #[must_use]
    pub fn with_dtype(mut self, dtype: Dtype) -> Self {
        self.region.dtype = dtype;
        self
    }

    /// Starts this many bytes into the buffer; a multiple of an element's size.
    #[must_use]
    pub fn with_offset(mut self, bytes: u64) -> Self {
        self.region.offset = bytes;
        self
    }

    /// Leaves gaps: `elements`, at least the number of classes, from one row's start to the next.
    /// What stands in the gaps is not touched.
    #[must_use]
    pub fn with_row_stride(mut self, elements: u64) -> Self {
        self.region.row_stride = elements;
        self
    }

    pub(crate) fn validate(&self, name: &'static str) -> Result<()> {
        let invalid = |reason| Err(Error::InvalidBuffer { name, reason });
        if self.classes == 0 {
            return invalid("has rows of 0 classes; a row needs at least one".to_owned());
        }
        if self.region.row_stride < self.classes {
            let stride = self.region.row_stride;
            return invalid(format!("row stride {stride} is less than {} classes", self.classes));
        }
        let width = self.region.dtype.size() as u64;
        if self.region.dtype == Dtype::F64 {
            return invalid("is f64; shaders compute in f32".to_owned());
        }
        if self.region.row_stride.checked_mul(width).is_none() {
            return invalid(format!("row stride {} is larger than any", self.region.row_stride));
        }
        let end = (self.rows_held().max(1) - 1)
            .checked_mul(self.region.row_stride)
            .and_then(|elements| elements.checked_add(self.classes))
            .and_then(|elements| elements.checked_mul(width));
        let bytes = if self.rows == 0 { Some(0) } else { end };
        validate_range(self.buffer, name, self.region.offset, bytes, width)
    }

    /// The bytes from its first element to its last, once it is validated.
    pub(crate) fn range(&self) -> Range<u64> {
        let start = self.region.offset;
        start..start + self.region.extent(self.rows_held(), self.classes)
    }
}

/// A vector in a buffer of the caller's, one value for each row.
#[derive(Debug, Clone, Copy)]
pub struct VectorBuffer<'a> {
    pub(crate) buffer: &'a wgpu::Buffer,
    pub(crate) offset: u64,
    /// Rows that the buffer holds at a time, where not all.
    pub(crate) held: Option<u64>,
}

impl<'a> VectorBuffer<'a> {
    /// A vector that starts with its buffer.
    pub fn new(buffer: &'a wgpu::Buffer) -> Self {
        Self { buffer, offset: 0, held: None }
    }

    /// The buffer holds a window of so many rows at a time.
    pub(crate) fn with_room(mut self, rows: u64) -> Self {
        self.held = Some(rows);
        self
    }

    /// Starts this many bytes into the buffer; a multiple of an element's size.
    #[must_use]
    pub fn with_offset(mut self, bytes: u64) -> Self {
        self.offset = bytes;
        self
    }

    pub(crate) fn validate(&self, name: &'static str, rows: u64, width: u64) -> Result<()> {
        let rows = self.held.map_or(rows, |held| held.min(rows));
        validate_range(self.buffer, name, self.offset, rows.checked_mul(width), width)
    }

    /// The bytes that it takes, once it is validated.
    pub(crate) fn range(&self, rows: u64, width: u64) -> Range<u64> {
        let rows = self.held.map_or(rows, |held| held.min(rows));
        self.offset..self.offset + rows * width
    }
}

/// A mask in a buffer of the caller's: a byte for each row, or for each element in row-major order; 0
/// for one that does not count.
///
/// The buffer needs the usage `STORAGE`, and whole u32s: bytes past the last row or element, up to a
/// multiple of four, are not read as anything.
#[derive(Debug, Clone, Copy)]
pub struct MaskBuffer<'a> {
    pub(crate) buffer: &'a wgpu::Buffer,
    pub(crate) offset: u64,
    /// Bytes that the buffer holds at a time, where not all.
    pub(crate) held: Option<u64>,
}

impl<'a> MaskBuffer<'a> {
    /// A mask that starts with its buffer.
    pub fn new(buffer: &'a wgpu::Buffer) -> Self {
        Self { buffer, offset: 0, held: None }
    }

    /// The buffer holds so many bytes of a window at a time.
    pub(crate) fn with_room(mut self, bytes: u64) -> Self {
        self.held = Some(bytes);
        self
    }

    /// Starts this many bytes into the buffer.
    #[must_use]
    pub fn with_offset(mut self, bytes: u64) -> Self {
        self.offset = bytes;
        self
    }

    /// Its bytes in the buffer, of so many rows or elements.
    pub(crate) fn range(&self, count: u64) -> Result<Range<u64>> {
        let count = self.held.map_or(count, |held| held.min(count));
        validate_range(self.buffer, "mask", self.offset, Some(count), 1)?;
        Ok(self.offset..self.offset + count)
    }
}

fn validate_range(
    buffer: &wgpu::Buffer,
    name: &'static str,
    offset: u64,
    bytes: Option<u64>,
    alignment: u64,
) -> Result<()> {
    let invalid = |reason| Err(Error::InvalidBuffer { name, reason });
    if !buffer.usage().contains(wgpu::BufferUsages::STORAGE) {
        return invalid("lacks the usage STORAGE".to_owned());
    }
    if !offset.is_multiple_of(alignment) {
        return invalid(format!("offset {offset} is not a multiple of {alignment}"));
    }
    let end = bytes.and_then(|bytes| bytes.checked_add(offset)?.checked_next_multiple_of(4));
    match end {
        Some(end) if end <= buffer.size() => Ok(()),
        Some(end) => invalid(format!("has {} bytes; bytes up to {end} are needed", buffer.size())),
        None => invalid("is described as larger than any buffer".to_owned()),
    }
}

/// Targets in a buffer of the caller's.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum TargetsBuffer<'a> {
    /// Class indices `[rows]`, 32-bit.
    I32(VectorBuffer<'a>),
    /// Class indices `[rows]`, 64-bit, little-endian.
    I64(VectorBuffer<'a>),
    /// Probabilities `[rows, classes]`. The host cannot see them, and nothing checks that they are in
    /// [0, 1]: what stands there goes through the formula.
    Probs(MatrixBuffer<'a>),
}

/// Where a matrix of results goes.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum OutputBuffer<'a> {
    /// Over the matrix that was read.
    InPlace,
    /// To a matrix of its own, in another buffer or in another part of one that is read. (In a
    /// browser, parts of one buffer have to be as far apart as the device's
    /// `min_storage_buffer_offset_alignment`.)
    Separate(MatrixBuffer<'a>),
}

/// The upstream gradient of a recorded operation.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum UpstreamBuffer<'a> {
    /// One number, fixed when the call is prepared.
    Scalar(f32),
    /// A number for each row, `[rows]` of f32, read when the call runs.
    Rows(VectorBuffer<'a>),
    /// A number for each element, `[rows, columns]` of f32, for elementwise losses.
    Elements(MatrixBuffer<'a>),
}

impl<'a> UpstreamBuffer<'a> {
    /// A number as it is; one for each row as it was uploaded.
    pub(crate) fn of_rows(upstream: Upstream<'_>, uploaded: Option<VectorBuffer<'a>>) -> Self {
        match (uploaded, upstream) {
            (Some(rows), _) => Self::Rows(rows),
            (None, Upstream::Scalar(dloss)) => Self::Scalar(dloss as f32),
            (None, Upstream::Each(_)) => Self::default(),
        }
    }
}

impl Default for UpstreamBuffer<'_> {
    fn default() -> Self {
        Self::Scalar(1.0)
    }
}
