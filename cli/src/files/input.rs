//! Reading an array: its header first, its elements when they are wanted.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use bytemuck::Pod;
use half::{bf16, f16};
use surprisal::{Array, Matrix};

use crate::error::{Failure, Result};
use crate::files::{FileDtype, Format, Header, InputSpec, npy, safetensors};
use crate::progress::Progress;

/// Bytes read between two updates of the progress.
const CHUNK: usize = 16 << 20;

/// An array in a file, or in whatever else holds bytes, whose header has been read and checked.
#[derive(Debug)]
pub struct InputArray<S = File> {
    spec: InputSpec,
    source: S,
    /// What an element is.
    pub dtype: FileDtype,
    /// The header's shape.
    pub shape: Vec<u64>,
    elements: usize,
    offset: u64,
}

/// The elements of a file.
#[derive(Debug)]
pub enum Data {
    /// As the library takes them.
    Floats(Array),
    /// Of 32 bits.
    I32(Vec<i32>),
    /// Of 64 bits, or fewer.
    I64(Vec<i64>),
}

impl InputArray {
    /// Opens a file and reads its header.
    pub fn open(spec: &InputSpec) -> Result<Self> {
        let path = spec.path();
        // Looked at before it is opened: opening a pipe waits for somebody to write to it.
        let metadata = path.metadata().map_err(|error| Failure::read(path, error))?;
        if !metadata.is_file() {
            return Err(Failure::input(format!("{spec}: not a file")));
        }
        let file = File::open(path).map_err(|error| Failure::read(path, error))?;
        Self::from_source(spec, file)
    }
}

impl<S: Read + Seek> InputArray<S> {
    /// Reads the header, and checks that the source holds what it promises. Of `spec` counts what
    /// format it names and which tensor.
    pub fn from_source(spec: &InputSpec, mut source: S) -> Result<Self> {
        let failed = |error: String| Failure::input(format!("{spec}: {error}"));
        let length = length(&mut source).map_err(|error| Failure::read(spec.path(), error))?;
        let Header { dtype, shape, offset } = match spec.0.format {
            Format::Npy => npy::read_header(&mut source, length),
            Format::Safetensors => {
                safetensors::read_header(&mut source, length, spec.0.tensor.as_deref())
            }
        }
        .map_err(failed)?;
        // An array with a dimension of 0 has no elements, however large the others are.
        let count = if shape.contains(&0) {
            Some(0)
        } else {
            shape.iter().try_fold(1u64, |product, &n| product.checked_mul(n))
        };
        let end = count.and_then(|count| count.checked_mul(dtype.size())?.checked_add(offset));
        match (count, end) {
            (Some(count), Some(end)) if end <= length => {
                let elements = usize::try_from(count).map_err(|error| failed(error.to_string()))?;
                Ok(Self { spec: spec.clone(), source, dtype, shape, elements, offset })
            }
            (_, Some(end)) => Err(failed(format!("is truncated: it has {length} bytes of {end}"))),
            (_, None) => Err(failed(format!("claims the shape {}", shown(&shape)))),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.spec.path()
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

    /// Reads the elements.
    pub fn read(&mut self, progress: &Progress) -> Result<Data> {
        self.start(progress)?;
        let data = match self.dtype {
            FileDtype::F16 => Data::Floats(Array::F16(self.typed::<f16>(progress)?)),
            FileDtype::Bf16 => Data::Floats(Array::Bf16(self.typed::<bf16>(progress)?)),
            FileDtype::F32 => Data::Floats(Array::F32(self.typed::<f32>(progress)?)),
            FileDtype::F64 => Data::Floats(Array::F64(self.typed::<f64>(progress)?)),
            FileDtype::I32 => Data::I32(self.typed::<i32>(progress)?),
            FileDtype::I64 => Data::I64(self.typed::<i64>(progress)?),
            FileDtype::I8 => self.widened::<i8>(progress)?,
            FileDtype::U8 => self.widened::<u8>(progress)?,
            FileDtype::I16 => self.widened::<i16>(progress)?,
            FileDtype::U16 => self.widened::<u16>(progress)?,
            FileDtype::U32 => self.widened::<u32>(progress)?,
            FileDtype::U64 => {
                let values = self.typed::<u64>(progress)?;
                let value = |(row, &value): (usize, &u64)| {
                    i64::try_from(value).map_err(|_| {
                        Failure::input(format!("{}: {value} of row {row} is no class", self.spec))
                    })
                };
                Data::I64(values.iter().enumerate().map(value).collect::<Result<_>>()?)
            }
        };
        Ok(data)
    }

    /// Reads the elements of a file that has to hold floats.
    pub(crate) fn read_floats(&mut self, progress: &Progress) -> Result<Array> {
        match self.read(progress)? {
            Data::Floats(array) => Ok(array),
            Data::I32(_) | Data::I64(_) => Err(self.no_floats()),
        }
    }

    /// Fails unless the file holds floats.
    pub(crate) fn expect_floats(&self) -> Result<()> {
        if self.dtype.is_float() { Ok(()) } else { Err(self.no_floats()) }
    }

    fn no_floats(&self) -> Failure {
        Failure::input(format!("{}: holds {}, floats are wanted", self.spec, self.dtype))
    }

    /// Reads the elements of a file as floats, be they integers.
    pub(crate) fn read_numbers(&mut self, progress: &Progress) -> Result<Array> {
        // The one type that does not fit into what integers are read as.
        if self.dtype == FileDtype::U64 {
            self.start(progress)?;
            let values = self.typed::<u64>(progress)?;
            return Ok(Array::F64(values.into_iter().map(|value| value as f64).collect()));
        }
        Ok(match self.read(progress)? {
            Data::Floats(array) => array,
            Data::I32(values) => Array::F64(values.into_iter().map(f64::from).collect()),
            Data::I64(values) => Array::F64(values.into_iter().map(|value| value as f64).collect()),
        })
    }

    /// Reads some elements into `array`, whose memory is used again if it has their type. Integers are
    /// read as f64.
    pub fn read_window(&mut self, elements: Range<usize>, array: &mut Array) -> Result<()> {
        let start = self.offset + elements.start as u64 * self.dtype.size();
        self.source
            .seek(SeekFrom::Start(start))
            .map_err(|error| Failure::read(self.spec.path(), error))?;
        let count = elements.len();
        match (self.dtype, &mut *array) {
            (FileDtype::F16, Array::F16(values)) => return self.fill(count, values),
            (FileDtype::Bf16, Array::Bf16(values)) => return self.fill(count, values),
            (FileDtype::F32, Array::F32(values)) => return self.fill(count, values),
            (FileDtype::F64, Array::F64(values)) => return self.fill(count, values),
            _ => {}
        }
        *array = match self.dtype {
            FileDtype::F16 => Array::F16(self.filled(count)?),
            FileDtype::Bf16 => Array::Bf16(self.filled(count)?),
            FileDtype::F32 => Array::F32(self.filled(count)?),
            FileDtype::F64 => Array::F64(self.filled(count)?),
            FileDtype::I8 => self.numbers::<i8>(count, f64::from)?,
            FileDtype::U8 => self.numbers::<u8>(count, f64::from)?,
            FileDtype::I16 => self.numbers::<i16>(count, f64::from)?,
            FileDtype::U16 => self.numbers::<u16>(count, f64::from)?,
            FileDtype::I32 => self.numbers::<i32>(count, f64::from)?,
            FileDtype::U32 => self.numbers::<u32>(count, f64::from)?,
            FileDtype::I64 => self.numbers::<i64>(count, |value| value as f64)?,
            FileDtype::U64 => self.numbers::<u64>(count, |value| value as f64)?,
        };
        Ok(())
    }

    fn numbers<T: Pod>(&mut self, count: usize, to_f64: impl Fn(T) -> f64) -> Result<Array> {
        Ok(Array::F64(self.filled::<T>(count)?.into_iter().map(to_f64).collect()))
    }

    fn filled<T: Pod>(&mut self, count: usize) -> Result<Vec<T>> {
        let mut values = Vec::new();
        self.fill(count, &mut values)?;
        Ok(values)
    }

    fn fill<T: Pod>(&mut self, count: usize, values: &mut Vec<T>) -> Result<()> {
        self.reserve(values, count)?;
        values.resize(count, T::zeroed());
        self.read_bytes(bytemuck::cast_slice_mut(values))
    }

    fn reserve<T>(&self, values: &mut Vec<T>, count: usize) -> Result<()> {
        values.try_reserve_exact(count.saturating_sub(values.len())).map_err(|_| {
            Failure::run(format!("{}: its elements do not fit into memory", self.spec))
        })
    }

    fn read_bytes(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.source.read_exact(bytes).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                let reason = "is truncated: it became shorter while it was read";
                Failure::input(format!("{}: {reason}", self.spec))
            }
            _ => Failure::read(self.path(), error),
        })
    }

    fn start(&mut self, progress: &Progress) -> Result<()> {
        self.source
            .seek(SeekFrom::Start(self.offset))
            .map_err(|error| Failure::read(self.spec.path(), error))?;
        progress.start("reading", self.elements as u64 * self.dtype.size());
        Ok(())
    }

    fn widened<T: Pod + Into<i64>>(&mut self, progress: &Progress) -> Result<Data> {
        Ok(Data::I64(self.typed::<T>(progress)?.into_iter().map(Into::into).collect()))
    }

    fn typed<T: Pod>(&mut self, progress: &Progress) -> Result<Vec<T>> {
        let mut values = Vec::new();
        self.reserve(&mut values, self.elements)?;
        values.resize(self.elements, T::zeroed());
        for chunk in bytemuck::cast_slice_mut::<T, u8>(&mut values).chunks_mut(CHUNK) {
            self.read_bytes(chunk)?;
            progress.advance(chunk.len() as u64);
        }
        Ok(values)
    }
}

fn length(source: &mut impl Seek) -> std::io::Result<u64> {
    let length = source.seek(SeekFrom::End(0))?;
    source.rewind()?;
    Ok(length)
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
