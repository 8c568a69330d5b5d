//! Matrices in host memory: borrowed for input, owned for output.

use half::{bf16, f16};

use crate::dtype::Dtype;
use crate::error::{Error, Result};

/// Calls `$body` with `$slice` bound to the typed slice inside a [`Values`].
macro_rules! with_values {
    ($values:expr, $slice:ident => $body:expr) => {
        match $values {
            $crate::matrix::Values::F16($slice) => $body,
            $crate::matrix::Values::Bf16($slice) => $body,
            $crate::matrix::Values::F32($slice) => $body,
            $crate::matrix::Values::F64($slice) => $body,
        }
    };
}
pub(crate) use with_values;

/// Calls `$body` with `$slice` bound to the typed slice inside a [`ValuesMut`].
macro_rules! with_values_mut {
    ($values:expr, $slice:ident => $body:expr) => {
        match $values {
            $crate::matrix::ValuesMut::F16($slice) => $body,
            $crate::matrix::ValuesMut::Bf16($slice) => $body,
            $crate::matrix::ValuesMut::F32($slice) => $body,
            $crate::matrix::ValuesMut::F64($slice) => $body,
        }
    };
}
pub(crate) use with_values_mut;

/// Borrowed elements of one of the [`Dtype`]s.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Values<'a> {
    /// Half precision.
    F16(&'a [f16]),
    /// The upper halves of f32.
    Bf16(&'a [bf16]),
    /// Single precision.
    F32(&'a [f32]),
    /// Double precision.
    F64(&'a [f64]),
}

impl Values<'_> {
    /// How many there are.
    pub fn len(&self) -> usize {
        with_values!(self, v => v.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Their type.
    pub fn dtype(&self) -> Dtype {
        match self {
            Self::F16(_) => Dtype::F16,
            Self::Bf16(_) => Dtype::Bf16,
            Self::F32(_) => Dtype::F32,
            Self::F64(_) => Dtype::F64,
        }
    }

    /// A copy as f64, exactly.
    pub fn to_f64(&self) -> Vec<f64> {
        with_values!(self, v => v.iter().map(|&x| crate::dtype::Element::to_f64(x)).collect())
    }

    /// A copy as f32, each value rounded to nearest.
    pub fn to_f32(&self) -> Vec<f32> {
        with_values!(self, v => v.iter().map(|&x| crate::dtype::Element::to_f32(x)).collect())
    }
}

/// Owned elements of one of the [`Dtype`]s: what an operation returns.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Array {
    /// Half precision.
    F16(Vec<f16>),
    /// The upper halves of f32.
    Bf16(Vec<bf16>),
    /// Single precision.
    F32(Vec<f32>),
    /// Double precision.
    F64(Vec<f64>),
}

impl Array {
    /// The elements, borrowed.
    pub fn values(&self) -> Values<'_> {
        match self {
            Self::F16(v) => Values::F16(v),
            Self::Bf16(v) => Values::Bf16(v),
            Self::F32(v) => Values::F32(v),
            Self::F64(v) => Values::F64(v),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.values().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Their type.
    pub fn dtype(&self) -> Dtype {
        self.values().dtype()
    }

    /// The elements, to be written.
    pub(crate) fn values_mut(&mut self) -> ValuesMut<'_> {
        match self {
            Self::F16(v) => ValuesMut::F16(v),
            Self::Bf16(v) => ValuesMut::Bf16(v),
            Self::F32(v) => ValuesMut::F32(v),
            Self::F64(v) => ValuesMut::F64(v),
        }
    }

    /// So many zeros.
    pub(crate) fn zeroed(dtype: Dtype, len: usize) -> Self {
        match dtype {
            Dtype::F16 => Self::F16(bytemuck::zeroed_vec(len)),
            Dtype::Bf16 => Self::Bf16(bytemuck::zeroed_vec(len)),
            Dtype::F32 => Self::F32(bytemuck::zeroed_vec(len)),
            Dtype::F64 => Self::F64(bytemuck::zeroed_vec(len)),
        }
    }

    /// Nothing yet, with room for so many elements: the memory of another array of this dtype.
    #[cfg(feature = "gpu")]
    pub(crate) fn with_room(spare: Option<Self>, dtype: Dtype, len: usize) -> Self {
        let same = spare.filter(|spare| spare.dtype() == dtype);
        let mut array = same.unwrap_or_else(|| Self::zeroed(dtype, 0));
        macro_rules! clear {
            ($($variant:ident),*) => {
                match &mut array {
                    $(Self::$variant(values) => {
                        values.clear();
                        values.reserve(len);
                    })*
                }
            };
        }
        clear!(F16, Bf16, F32, F64);
        array
    }

    /// Numbers rounded to a dtype.
    pub(crate) fn rounded(values: Vec<f32>, dtype: Dtype) -> Self {
        if dtype == Dtype::F32 {
            return Self::F32(values);
        }
        let mut array = Self::zeroed(dtype, values.len());
        with_values_mut!(array.values_mut(), out => {
            for (out, x) in out.iter_mut().zip(values) {
                *out = crate::dtype::Element::from_f32(x);
            }
        });
        array
    }

    /// The elements, if they are f32.
    pub fn as_f32(&self) -> Option<&[f32]> {
        if let Self::F32(v) = self { Some(v) } else { None }
    }

    /// The elements, if they are f64.
    pub fn as_f64(&self) -> Option<&[f64]> {
        if let Self::F64(v) = self { Some(v) } else { None }
    }

    /// A copy as f64, exactly.
    pub fn to_f64(&self) -> Vec<f64> {
        self.values().to_f64()
    }

    /// Their bytes, in the machine's order.
    pub fn as_bytes(&self) -> &[u8] {
        with_values!(self.values(), v => bytemuck::cast_slice(v))
    }
}

macro_rules! conversions {
    ($($variant:ident $type:ty),*) => {$(
        impl<'a> From<&'a [$type]> for Values<'a> {
            fn from(v: &'a [$type]) -> Self {
                Self::$variant(v)
            }
        }
        impl<'a> From<&'a Vec<$type>> for Values<'a> {
            fn from(v: &'a Vec<$type>) -> Self {
                Self::$variant(v)
            }
        }
        impl<'a, const N: usize> From<&'a [$type; N]> for Values<'a> {
            fn from(v: &'a [$type; N]) -> Self {
                Self::$variant(v)
            }
        }
        impl From<Vec<$type>> for Array {
            fn from(v: Vec<$type>) -> Self {
                Self::$variant(v)
            }
        }
    )*};
}
conversions!(F16 f16, Bf16 bf16, F32 f32, F64 f64);

/// A borrowed matrix `[rows, classes]`, row after row without gaps.
///
/// ```
/// use surprisal::Matrix;
///
/// let logits = Matrix::new(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], 2, 3)?;
/// assert_eq!((logits.rows(), logits.columns()), (2, 3));
/// assert!(Matrix::new(&[1.0f32, 2.0], 2, 3).is_err());
/// # Ok::<(), surprisal::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    values: Values<'a>,
    rows: usize,
    classes: usize,
    place: Place,
}

/// Where a window's first element stands in the batch, whose rows have so many columns: for messages.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Place {
    pub(crate) first: usize,
    pub(crate) columns: usize,
}

impl<'a> Matrix<'a> {
    /// A matrix over `values`.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if there are not `rows * classes` values;
    /// [`Error::InvalidInput`] if there are rows but no classes.
    pub fn new(values: impl Into<Values<'a>>, rows: usize, classes: usize) -> Result<Self> {
        let values = values.into();
        if rows > 0 && classes == 0 {
            return Err(Error::InvalidInput {
                what: "matrix",
                reason: format!("{rows} rows of 0 classes: a row needs at least one"),
            });
        }
        if rows.checked_mul(classes) != Some(values.len()) {
            return Err(Error::ShapeMismatch {
                what: "matrix",
                expected: format!("[{rows}, {classes}]"),
                found: format!("{} values", values.len()),
            });
        }
        Ok(Self { values, rows, classes, place: Place { first: 0, columns: classes } })
    }

    /// Rows of which only the number is known.
    pub(crate) fn without_columns(rows: usize) -> Self {
        let place = Place { first: 0, columns: 0 };
        Self { values: Values::F32(&[]), rows, classes: 0, place }
    }

    /// Some of its rows.
    pub(crate) fn part(&self, rows: std::ops::Range<usize>) -> Self {
        let elements = rows.start * self.classes..rows.end * self.classes;
        let values = match self.values {
            Values::F16(v) => Values::F16(&v[elements.clone()]),
            Values::Bf16(v) => Values::Bf16(&v[elements.clone()]),
            Values::F32(v) => Values::F32(&v[elements.clone()]),
            Values::F64(v) => Values::F64(&v[elements.clone()]),
        };
        let place = Place { first: self.place.first + elements.start, ..self.place };
        Self { values, rows: rows.len(), classes: self.classes, place }
    }

    /// The same, as a window of a batch.
    pub(crate) fn at(self, place: Place) -> Self {
        Self { place, ..self }
    }

    /// Row and column in the batch of element `i`.
    pub(crate) fn row_and_column(&self, i: usize) -> (usize, usize) {
        let (i, columns) = (self.place.first + i, self.place.columns.max(1));
        (i / columns, i % columns)
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns.
    pub fn columns(&self) -> usize {
        self.classes
    }

    /// The elements, row after row.
    pub fn values(&self) -> Values<'a> {
        self.values
    }

    /// The elements' type.
    pub fn dtype(&self) -> Dtype {
        self.values.dtype()
    }

    pub(crate) fn shape(&self) -> String {
        format!("[{}, {}]", self.rows, self.classes)
    }

    /// An error naming both sides unless `other` has this matrix's shape.
    pub(crate) fn expect_same_shape(&self, other: &Matrix<'_>, what: &'static str) -> Result<()> {
        if (self.rows, self.classes) == (other.rows, other.classes) {
            return Ok(());
        }
        Err(Error::ShapeMismatch { what, expected: self.shape(), found: other.shape() })
    }
}

/// Elements to be written, of one of the [`Dtype`]s.
#[derive(Debug)]
#[non_exhaustive]
pub enum ValuesMut<'a> {
    /// Half precision.
    F16(&'a mut [f16]),
    /// The upper halves of f32.
    Bf16(&'a mut [bf16]),
    /// Single precision.
    F32(&'a mut [f32]),
    /// Double precision.
    F64(&'a mut [f64]),
}

macro_rules! values_mut_from {
    ($($variant:ident $type:ty),*) => {$(
        impl<'a> From<&'a mut [$type]> for ValuesMut<'a> {
            fn from(v: &'a mut [$type]) -> Self {
                Self::$variant(v)
            }
        }
    )*};
}
values_mut_from!(F16 f16, Bf16 bf16, F32 f32, F64 f64);

/// A matrix `[rows, classes]` to be written to, row after row without gaps.
///
/// ```
/// use surprisal::MatrixMut;
///
/// let mut values = [0.0f32; 6];
/// let matrix = MatrixMut::new(&mut values[..], 2, 3)?;
/// assert_eq!(matrix.as_matrix().rows(), 2);
/// # Ok::<(), surprisal::Error>(())
/// ```
#[derive(Debug)]
pub struct MatrixMut<'a> {
    values: ValuesMut<'a>,
    rows: usize,
    classes: usize,
}

macro_rules! room_like {
    ($array:expr, $matrix:expr; $($variant:ident),*) => {
        match $matrix.dtype() {
            $(Dtype::$variant => {
                if !matches!($array, Array::$variant(_)) {
                    *$array = Array::$variant(Vec::new());
                }
                if let Array::$variant(values) = $array {
                    values.resize($matrix.values().len(), Default::default());
                    return MatrixMut::new(&mut values[..], $matrix.rows(), $matrix.columns());
                }
            })*
        }
    };
}

impl Array {
    /// Room for a matrix of this shape and dtype, in the memory that there is if it fits. What stands
    /// there is not cleared.
    pub(crate) fn as_matrix_like(&mut self, matrix: &Matrix<'_>) -> Result<MatrixMut<'_>> {
        room_like!(self, matrix; F16, Bf16, F32, F64);
        let reason = "has no room".to_owned();
        Err(Error::InvalidInput { what: "output", reason })
    }
}

impl<'a> MatrixMut<'a> {
    /// A matrix over `values`.
    ///
    /// # Errors
    /// As [`Matrix::new`].
    pub fn new(values: impl Into<ValuesMut<'a>>, rows: usize, classes: usize) -> Result<Self> {
        let matrix = Self { values: values.into(), rows, classes };
        with_values_mut!(&matrix.values, v => Matrix::new(&**v, rows, classes))?;
        Ok(matrix)
    }

    /// The matrix, to be read.
    pub fn as_matrix(&self) -> Matrix<'_> {
        let values = with_values_mut!(&self.values, v => Values::from(&**v));
        let place = Place { first: 0, columns: self.classes };
        Matrix { values, rows: self.rows, classes: self.classes, place }
    }

    /// The elements, row after row.
    pub fn into_values(self) -> ValuesMut<'a> {
        self.values
    }

    /// Copies a result of the same number of elements, rounded if it has to be.
    pub(crate) fn assign(&mut self, from: &Array) {
        use crate::dtype::Element;
        match (&mut self.values, from) {
            // Rounded once, not to f32 first.
            (to, Array::F64(from)) => with_values_mut!(to, to => {
                for (to, from) in to.iter_mut().zip(from) {
                    *to = Element::from_f64(*from);
                }
            }),
            (to, from) => with_values_mut!(to, to => with_values!(from.values(), from => {
                for (to, from) in to.iter_mut().zip(from) {
                    *to = Element::from_f32(from.to_f32());
                }
            })),
        }
    }

    /// An error unless a result for `matrix` fits here.
    pub(crate) fn expect_fits(&self, matrix: &Matrix<'_>) -> Result<()> {
        let own = self.as_matrix();
        matrix.expect_same_shape(&own, "output")?;
        if own.dtype() == matrix.dtype() {
            return Ok(());
        }
        let reason = format!("is {}, the matrix is {}", own.dtype(), matrix.dtype());
        Err(Error::InvalidInput { what: "output", reason })
    }
}
