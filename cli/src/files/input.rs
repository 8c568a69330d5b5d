//! Opening an array: its header is read and checked, its elements when they are wanted.

use std::io::{self, ErrorKind, Read, Seek};

use surprisal::{Array, Matrix};

use crate::error::{Failure, Result};
use crate::files::source::Source;
use crate::files::spec::Format;
use crate::files::{FileDtype, Header, InputSpec, Layout, fortran, npy, npz, safetensors};

/// An array in a file, or in whatever else holds bytes, whose header has been read and checked.
#[derive(Debug)]
pub struct InputArray {
    spec: InputSpec,
    pub(super) source: Source,
    /// What an element is.
    pub dtype: FileDtype,
    /// The header's shape.
    pub shape: Vec<u64>,
    elements: usize,
    pub(super) offset: u64,
    /// How the file has them.
    pub layout: Layout,
    /// Where the file has to end.
    end: Option<u64>,
    is_member: bool,
}

impl InputArray {
    /// Opens a file and reads its header.
    pub fn open(spec: &InputSpec) -> Result<Self> {
        Self::new(spec, Source::open(&spec.0)?)
    }

    /// Reads the header of what stands for a file. Of `spec` counts what format it names and which
    /// array.
    pub fn from_source(
        spec: &InputSpec,
        source: impl Read + Seek + Send + 'static,
    ) -> Result<Self> {
        let source = Source::file(Box::new(source));
        Self::new(spec, source.map_err(|error| Failure::input(format!("{spec}: {error}")))?)
    }

    /// The same of what is read from its start to its end.
    pub fn from_pipe(spec: &InputSpec, reader: impl Read + Send + 'static) -> Result<Self> {
        Self::new(spec, Source::once(Box::new(reader), None))
    }

    fn new(spec: &InputSpec, mut source: Source) -> Result<Self> {
        let failed = |error: String| Failure::input(format!("{spec}: {error}"));
        let io_failed = |error: io::Error| failed(error.to_string());
        let (format, name) = (spec.0.format, spec.0.array.as_deref());
        let format = match format {
            Format::Untold => told(&mut source).map_err(io_failed)?,
            told => told,
        };
        let is_member = format == Format::Npz;
        if is_member {
            let archive = source.into_seekable().map_err(io_failed)?;
            source = npz::member(archive, name).map_err(failed)?;
        }
        let length = source.length();
        let header = match format {
            Format::Safetensors => safetensors::read_header(&mut source, length, name),
            _ => npy::read_header(&mut source, length.unwrap_or(u64::MAX)),
        };
        let Header { dtype, shape, offset, layout, end: file_end } = header.map_err(failed)?;
        // An array with a dimension of 0 has no elements, however large the others are.
        let count = if shape.contains(&0) {
            Some(0)
        } else {
            shape.iter().try_fold(1u64, |product, &n| product.checked_mul(n))
        };
        let end = count.and_then(|count| count.checked_mul(dtype.size())?.checked_add(offset));
        let (Some(count), Some(end)) = (count, end) else {
            return Err(failed(format!("claims the shape {}", shown(&shape))));
        };
        if let Some(length) = length
            && length < end.max(file_end.unwrap_or(0))
        {
            let end = end.max(file_end.unwrap_or(0));
            return Err(failed(format!("is truncated: it has {length} bytes of {end}")));
        }
        let elements = usize::try_from(count).map_err(|error| failed(error.to_string()))?;
        let (spec, end) = (spec.clone(), file_end);
        let mut input =
            Self { spec, source, dtype, shape, elements, offset, layout, end, is_member };
        if elements == 0 {
            input.finish()?;
        }
        if layout.is_fortran { input.rereadable() } else { Ok(input) }
    }

    /// Made so that its elements can be read in any order, and again.
    pub(crate) fn rereadable(self) -> Result<Self> {
        let spec = self.spec.clone();
        let source = self.source.into_seekable();
        let source = source.map_err(|error| Failure::input(format!("{spec}: {error}")))?;
        Self { source, ..self }.checked()
    }

    /// Fails if a file does not hold the elements.
    fn checked(self) -> Result<Self> {
        let end = self.offset + self.elements as u64 * self.dtype.size();
        match self.source.length() {
            Some(length) if length < end => Err(self.failed(&ErrorKind::UnexpectedEof.into())),
            _ => Ok(self),
        }
    }

    /// All elements were read: nothing may follow that does not belong there.
    pub(super) fn finish(&mut self) -> Result<()> {
        let end = self.end;
        self.source.finish(end).map_err(|error| self.failed(&error))
    }

    /// What is said of an error of reading.
    pub(super) fn failed(&self, error: &io::Error) -> Failure {
        let spec = &self.spec;
        match error.kind() {
            ErrorKind::UnexpectedEof if self.source.is_once() => {
                Failure::input(format!("{spec}: is truncated: it ends before its elements do"))
            }
            ErrorKind::UnexpectedEof => {
                let reason = "is truncated: it became shorter while it was read";
                Failure::input(format!("{spec}: {reason}"))
            }
            _ => Failure::input(format!("{spec}: {error}")),
        }
    }

    /// Bytes that reading a window takes beside it.
    pub(crate) fn scratch(&self) -> u64 {
        let of_order = if self.layout.is_fortran { fortran::BUFFER } else { 0 };
        let of_member = if self.is_member && self.source.is_once() { npz::BUFFERS } else { 0 };
        (of_order + of_member) as u64
    }

    pub(crate) fn spec(&self) -> &InputSpec {
        &self.spec
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.elements
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.elements == 0
    }

    /// The shape as text.
    pub(crate) fn shown_shape(&self) -> String {
        shown(&self.shape)
    }

    /// The dimensions before the last one.
    pub(crate) fn leading(&self) -> &[u64] {
        self.shape.split_last().map_or(&[], |(_, leading)| leading)
    }

    /// Rows and classes: the product of the leading dimensions, and the last one.
    pub(crate) fn rows_and_classes(&self) -> Result<(usize, usize)> {
        match self.shape.split_last() {
            None => Err(Failure::input(format!("{}: is a scalar; rows are wanted", self.spec))),
            Some((0, leading)) if !leading.contains(&0) => {
                let shape = self.shown_shape();
                Err(Failure::input(format!("{}: {shape} has rows without columns", self.spec)))
            }
            Some(_) => Ok(self.rows_and_columns()),
        }
    }

    /// [`Self::rows_and_classes`] of any array: a scalar is one row of one column, and rows without
    /// columns are none.
    pub(crate) fn rows_and_columns(&self) -> (usize, usize) {
        let columns = self.shape.last().map_or(1, |&columns| columns as usize);
        (self.elements / columns.max(1), columns)
    }

    /// Where the elements begin, in bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Fails unless the file holds floats.
    pub(crate) fn expect_floats(&self) -> Result<()> {
        if self.dtype.is_float() { Ok(()) } else { Err(self.no_floats()) }
    }

    pub(super) fn no_floats(&self) -> Failure {
        Failure::input(format!("{}: holds {}, floats are wanted", self.spec, self.dtype))
    }
}

/// The format of what has no ending: an archive and `.npy` say what they are.
fn told(source: &mut Source) -> io::Result<Format> {
    Ok(match source.start::<6>()? {
        start if start.starts_with(npy::MAGIC) => Format::Npy,
        start if start.starts_with(b"PK\x03\x04") => Format::Npz,
        _ => Format::Safetensors,
    })
}

/// The matrix that a file holds.
pub(crate) fn matrix<'a>(input: &InputArray, array: &'a Array) -> Result<Matrix<'a>> {
    let (rows, classes) = input.rows_and_columns();
    Matrix::new(array.values(), rows, classes).map_err(|error| Failure::of(&error, input.spec()))
}

pub(crate) fn shown(shape: &[u64]) -> String {
    let sizes: Vec<_> = shape.iter().map(u64::to_string).collect();
    format!("[{}]", sizes.join(", "))
}
