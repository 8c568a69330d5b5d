//! Batches, and the memory that results are written to.

use std::ops::{Deref, DerefMut};

use half::{bf16, f16};
use surprisal::{CrossEntropyInput, Dtype, Element, Matrix, MatrixMut, Upstream};

/// A cache line: no contestant is to pay for rows that begin inside one where they need not.
const LINE: usize = 64;
/// Elements of a block of rows, roughly: what one thread takes at a time.
const BLOCK: usize = 1 << 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub rows: usize,
    pub classes: usize,
}

impl Shape {
    /// From a training's batch of tokens down to rows of two.
    pub const ALL: [Self; 7] = [
        Self::new(65_536, 128),
        Self::new(16_384, 1000),
        Self::new(1024, 32_000),
        Self::new(256, 128_256),
        Self::new(4_194_304, 2),
        Self::new(1_048_576, 10),
        Self::new(262_144, 64),
    ];
    pub const LARGE: [Self; 4] = [Self::ALL[0], Self::ALL[1], Self::ALL[2], Self::ALL[3]];

    const fn new(rows: usize, classes: usize) -> Self {
        Self { rows, classes }
    }

    pub fn len(self) -> usize {
        self.rows * self.classes
    }

    pub fn rows_of_block(self) -> usize {
        (BLOCK / self.classes).max(1)
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.rows, self.classes)
    }
}

impl std::str::FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let sides = text
            .split_once('x')
            .and_then(|(rows, classes)| Some(Self::new(rows.parse().ok()?, classes.parse().ok()?)));
        // The ceilings move words, of which two elements of 16 bits make one.
        let is_sound = |shape: &Self| shape.len() > 0 && shape.len().is_multiple_of(2);
        sides
            .filter(is_sound)
            .ok_or_else(|| format!("{text} is not rows x classes, an even number"))
    }
}

/// Elements that begin at a cache line. Their pages are touched already.
#[derive(Debug)]
pub struct Aligned<T> {
    values: Vec<T>,
    start: usize,
    len: usize,
}

impl<T: Copy> Aligned<T> {
    pub fn new(len: usize, fill: T) -> Self {
        let values = vec![fill; len + LINE / size_of::<T>()];
        let start = values.as_ptr().align_offset(LINE);
        Self { values, start, len }
    }
}

impl<T> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.values[self.start..self.start + self.len]
    }
}

impl<T> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.values[self.start..self.start + self.len]
    }
}

/// An element type, as a matrix of this crate's.
pub trait Number: Element {
    /// The distance of 1 to the next number.
    const EPSILON: f64;
    fn matrix(values: &[Self], shape: Shape) -> Matrix<'_>;
    fn matrix_mut(values: &mut [Self], shape: Shape) -> MatrixMut<'_>;
}

macro_rules! number {
    ($type:ty, $epsilon:expr) => {
        impl Number for $type {
            const EPSILON: f64 = $epsilon;

            fn matrix(values: &[Self], shape: Shape) -> Matrix<'_> {
                Matrix::new(values, shape.rows, shape.classes).expect("its shape")
            }

            fn matrix_mut(values: &mut [Self], shape: Shape) -> MatrixMut<'_> {
                MatrixMut::new(values, shape.rows, shape.classes).expect("its shape")
            }
        }
    };
}
number!(f32, f32::EPSILON as f64);
number!(f16, f16::EPSILON.to_f64_const());
number!(bf16, bf16::EPSILON.to_f64_const());

#[derive(Debug)]
pub struct Batch<T> {
    pub shape: Shape,
    pub logits: Aligned<T>,
    pub targets: Vec<u32>,
    /// The gradient from above the mean loss: enough for 16 bits to hold what is below it.
    pub upstream: f64,
}

impl<T: Number> Batch<T> {
    pub fn new(shape: Shape) -> Self {
        // A linear congruence, spread over [-4, 4).
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as f32 / (1 << 21) as f32 - 4.0
        };
        let mut logits = Aligned::new(shape.len(), T::from_f32(1.0));
        logits.fill_with(|| T::from_f32(next()));
        let class = |row| u32::try_from(row * 7 % shape.classes).expect("classes are few");
        let targets = (0..shape.rows).map(class).collect();
        let upstream = if T::DTYPE == Dtype::F32 { 1.0 } else { shape.rows as f64 };
        Self { shape, logits, targets, upstream }
    }

    pub fn matrix(&self) -> Matrix<'_> {
        T::matrix(&self.logits, self.shape)
    }

    pub fn input(&self) -> CrossEntropyInput<'_> {
        CrossEntropyInput::new(self.matrix(), self.labels()).with_upstream(self.upstream())
    }

    /// The targets, as this crate takes them.
    pub fn labels(&self) -> &[i32] {
        bytemuck::cast_slice(&self.targets)
    }

    pub fn upstream(&self) -> Upstream<'_> {
        Upstream::Scalar(self.upstream)
    }

    /// What a row's gradient is multiplied by.
    pub fn scale(&self) -> f32 {
        (self.upstream / self.shape.rows as f64) as f32
    }
}

/// What results are written to, the same pages in every round.
#[derive(Debug)]
pub struct Memory<T> {
    pub out: Aligned<T>,
    /// The logits, for those that work in place.
    pub in_place: Aligned<T>,
    pub blocks: Vec<Block>,
}

impl<T: Number> Memory<T> {
    pub fn new(shape: Shape) -> Self {
        let matrix = || Aligned::new(shape.len(), T::from_f32(1.0));
        let block = || Block::new(shape.rows_of_block() * shape.classes);
        let blocks = (0..shape.rows.div_ceil(shape.rows_of_block())).map(|_| block()).collect();
        Self { out: matrix(), in_place: matrix(), blocks }
    }
}

/// A block of rows as a vector to append to, for libraries that initialize memory: safely, and
/// from a cache line on.
#[derive(Debug)]
pub struct Block {
    pub values: Vec<f32>,
    start: usize,
}

impl Block {
    fn new(len: usize) -> Self {
        let mut values = vec![1.0; len + LINE / size_of::<f32>()];
        let start = values.as_ptr().align_offset(LINE);
        values.truncate(start);
        Self { values, start }
    }

    pub fn clear(&mut self) {
        self.values.truncate(self.start);
    }

    pub fn rows(&self) -> &[f32] {
        &self.values[self.start..]
    }
}
