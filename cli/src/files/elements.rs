//! Reading elements, once the header is known.

use std::ops::Range;

use bytemuck::Pod;
use half::{bf16, f16};
use surprisal::Array;

use crate::error::{Failure, Result};
use crate::files::{FileDtype, InputArray, fortran};
use crate::progress::Progress;

/// Bytes read between two updates of the progress.
const CHUNK: usize = 16 << 20;
/// Bytes that are read of a pipe at first: its header may claim any number.
const FIRST: usize = 64 << 10;

/// The elements of a file.
#[derive(Debug)]
pub enum Data {
    /// As the library takes them.
    Floats(Array),
    /// Of 32 bits.
    I32(Vec<i32>),
    /// Of 64 bits, or fewer; bool as 0 and 1.
    I64(Vec<i64>),
}

impl InputArray {
    /// Reads the elements.
    pub fn read(&mut self, progress: &Progress) -> Result<Data> {
        self.read_targets(None, progress)
    }

    /// Reads targets, of which those that a mask leaves out may be anything.
    pub(crate) fn read_targets(
        &mut self,
        mask: Option<&[bool]>,
        progress: &Progress,
    ) -> Result<Data> {
        let data = match self.dtype {
            FileDtype::F16 => Data::Floats(Array::F16(self.typed::<f16>(progress)?)),
            FileDtype::Bf16 => Data::Floats(Array::Bf16(self.typed::<bf16>(progress)?)),
            FileDtype::F32 => Data::Floats(Array::F32(self.typed::<f32>(progress)?)),
            FileDtype::F64 => Data::Floats(Array::F64(self.typed::<f64>(progress)?)),
            FileDtype::I32 => Data::I32(self.typed::<i32>(progress)?),
            FileDtype::I64 => Data::I64(self.typed::<i64>(progress)?),
            FileDtype::Bool => {
                let values = self.typed::<u8>(progress)?;
                Data::I64(values.into_iter().map(|byte| i64::from(byte != 0)).collect())
            }
            FileDtype::I8 => self.widened::<i8>(progress)?,
            FileDtype::U8 => self.widened::<u8>(progress)?,
            FileDtype::I16 => self.widened::<i16>(progress)?,
            FileDtype::U16 => self.widened::<u16>(progress)?,
            FileDtype::U32 => self.widened::<u32>(progress)?,
            FileDtype::U64 => {
                let values = self.typed::<u64>(progress)?;
                let value = |(row, &value): (usize, &u64)| match i64::try_from(value) {
                    Ok(value) => Ok(value),
                    Err(_) if mask.is_some_and(|mask| !mask[row]) => Ok(i64::MAX),
                    Err(_) => {
                        let reason = format!("{value} of row {row} is no class");
                        Err(Failure::input(format!("{}: {reason}", self.spec())))
                    }
                };
                Data::I64(values.iter().enumerate().map(value).collect::<Result<_>>()?)
            }
        };
        Ok(data)
    }

    /// Reads the elements of a mask, bool or integers: whether each is other than 0.
    pub fn read_mask(&mut self, progress: &Progress) -> Result<Vec<bool>> {
        Ok(match self.dtype {
            FileDtype::Bool | FileDtype::I8 | FileDtype::U8 => self.nonzero::<u8>(progress)?,
            FileDtype::I16 | FileDtype::U16 => self.nonzero::<u16>(progress)?,
            FileDtype::I32 | FileDtype::U32 => self.nonzero::<u32>(progress)?,
            FileDtype::I64 | FileDtype::U64 => self.nonzero::<u64>(progress)?,
            FileDtype::F16 | FileDtype::Bf16 | FileDtype::F32 | FileDtype::F64 => {
                return Err(self.no_mask());
            }
        })
    }

    /// Fails unless the file holds what a mask can be.
    pub(crate) fn expect_mask(&self) -> Result<()> {
        if self.dtype.is_float() { Err(self.no_mask()) } else { Ok(()) }
    }

    fn no_mask(&self) -> Failure {
        let (spec, dtype) = (self.spec(), self.dtype);
        Failure::input(format!("{spec}: holds {dtype}; a mask is bool or integers"))
    }

    fn nonzero<T: Pod + PartialEq>(&mut self, progress: &Progress) -> Result<Vec<bool>> {
        Ok(self.typed::<T>(progress)?.into_iter().map(|value| value != T::zeroed()).collect())
    }

    /// Reads the elements of a file that has to hold floats.
    pub(crate) fn read_floats(&mut self, progress: &Progress) -> Result<Array> {
        self.expect_floats()?;
        match self.read(progress)? {
            Data::Floats(array) => Ok(array),
            Data::I32(_) | Data::I64(_) => Err(self.no_floats()),
        }
    }

    /// Reads the elements of a file as floats, be they integers.
    pub(crate) fn read_numbers(&mut self, progress: &Progress) -> Result<Array> {
        // The one type that does not fit into what integers are read as.
        if self.dtype == FileDtype::U64 {
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
        let range = elements;
        match (self.dtype, &mut *array) {
            (FileDtype::F16, Array::F16(values)) => return self.fill(range, values),
            (FileDtype::Bf16, Array::Bf16(values)) => return self.fill(range, values),
            (FileDtype::F32, Array::F32(values)) => return self.fill(range, values),
            (FileDtype::F64, Array::F64(values)) => return self.fill(range, values),
            _ => {}
        }
        *array = match self.dtype {
            FileDtype::F16 => Array::F16(self.filled(range)?),
            FileDtype::Bf16 => Array::Bf16(self.filled(range)?),
            FileDtype::F32 => Array::F32(self.filled(range)?),
            FileDtype::F64 => Array::F64(self.filled(range)?),
            FileDtype::Bool => {
                self.numbers::<u8>(range, |byte| if byte == 0 { 0.0 } else { 1.0 })?
            }
            FileDtype::I8 => self.numbers::<i8>(range, f64::from)?,
            FileDtype::U8 => self.numbers::<u8>(range, f64::from)?,
            FileDtype::I16 => self.numbers::<i16>(range, f64::from)?,
            FileDtype::U16 => self.numbers::<u16>(range, f64::from)?,
            FileDtype::I32 => self.numbers::<i32>(range, f64::from)?,
            FileDtype::U32 => self.numbers::<u32>(range, f64::from)?,
            FileDtype::I64 => self.numbers::<i64>(range, |value| value as f64)?,
            FileDtype::U64 => self.numbers::<u64>(range, |value| value as f64)?,
        };
        Ok(())
    }

    fn numbers<T: Pod>(&mut self, range: Range<usize>, to_f64: impl Fn(T) -> f64) -> Result<Array> {
        Ok(Array::F64(self.filled::<T>(range)?.into_iter().map(to_f64).collect()))
    }

    fn filled<T: Pod>(&mut self, range: Range<usize>) -> Result<Vec<T>> {
        let mut values = Vec::new();
        self.fill(range, &mut values)?;
        Ok(values)
    }

    fn fill<T: Pod>(&mut self, range: Range<usize>, values: &mut Vec<T>) -> Result<()> {
        let more = range.len().saturating_sub(values.len());
        values.try_reserve_exact(more).map_err(|_| self.too_large())?;
        values.resize(range.len(), T::zeroed());
        self.read_part(range.start, values)
    }

    fn too_large(&self) -> Failure {
        Failure::run(format!("{}: its elements do not fit into memory", self.spec()))
    }

    fn widened<T: Pod + Into<i64>>(&mut self, progress: &Progress) -> Result<Data> {
        Ok(Data::I64(self.typed::<T>(progress)?.into_iter().map(Into::into).collect()))
    }

    /// All elements.
    fn typed<T: Pod>(&mut self, progress: &Progress) -> Result<Vec<T>> {
        let (count, size) = (self.len(), size_of::<T>());
        progress.start("reading", (count * size) as u64);
        let mut values = Vec::new();
        // Of a file it is known that it holds what its header claims.
        let is_sure = !self.source.is_once();
        if is_sure {
            values.try_reserve_exact(count).map_err(|_| self.too_large())?;
        }
        if self.layout.is_fortran {
            self.fill(0..count, &mut values)?;
            progress.advance((count * size) as u64);
            return Ok(values);
        }
        while values.len() < count {
            let start = values.len();
            let most = if is_sure { CHUNK } else { (start * size).clamp(FIRST, CHUNK) };
            let part = (most / size).min(count - start);
            values.try_reserve(part).map_err(|_| self.too_large())?;
            values.resize(start + part, T::zeroed());
            self.read_part(start, &mut values[start..])?;
            progress.advance((part * size) as u64);
        }
        Ok(values)
    }

    /// The elements that come from `start` on.
    fn read_part<T: Pod>(&mut self, start: usize, values: &mut [T]) -> Result<()> {
        let range = start..start + values.len();
        let read = if self.layout.is_fortran {
            fortran::gather(&mut self.source, self.offset, &self.shape, range.clone(), values)
        } else {
            let offset = self.offset + (start * size_of::<T>()) as u64;
            self.source.read_at(offset, bytemuck::cast_slice_mut(values))
        };
        read.map_err(|error| self.failed(&error))?;
        if self.layout.is_big_endian {
            swap_bytes(values);
        }
        if range.end == self.len() { self.finish() } else { Ok(()) }
    }
}

/// Turns numbers from one byte order into the other.
fn swap_bytes<T: Pod>(values: &mut [T]) {
    macro_rules! swap {
        ($bits:ty) => {
            for value in bytemuck::cast_slice_mut::<T, $bits>(values) {
                *value = value.swap_bytes();
            }
        };
    }
    match size_of::<T>() {
        2 => swap!(u16),
        4 => swap!(u32),
        8 => swap!(u64),
        _ => {}
    }
}
