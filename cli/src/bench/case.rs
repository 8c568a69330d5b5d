//! What is measured: operations, shapes and dtypes.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;
use surprisal::Dtype;

use crate::args::DtypeArg;

/// Elements of a matrix, at most: 16 GiB of f32.
const MOST_ELEMENTS: usize = 1 << 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
pub(crate) enum Operation {
    Loss,
    #[value(name = "loss+gradient")]
    LossGradient,
    Softmax,
    LogSoftmax,
}

impl Operation {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::LossGradient => "loss+gradient",
            Self::Softmax => "softmax",
            Self::LogSoftmax => "log-softmax",
        }
    }

    /// How often a matrix has to be moved at least: read, and written if there is one to write.
    pub(crate) fn passes(self) -> usize {
        if self == Self::Loss { 1 } else { 2 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    pub(crate) rows: usize,
    pub(crate) classes: usize,
}

impl Shape {
    const fn new(rows: usize, classes: usize) -> Self {
        Self { rows, classes }
    }

    pub(crate) fn len(self) -> usize {
        self.rows * self.classes
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{} x {}", self.rows, self.classes))
    }
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let sides = text.split_once('x').and_then(|(rows, classes)| {
            Some(Self::new(rows.trim().parse().ok()?, classes.trim().parse().ok()?))
        });
        let shape = sides.ok_or("not ROWSxCLASSES")?;
        match shape.rows.checked_mul(shape.classes) {
            Some(0) => Err("a matrix without elements takes no time".to_owned()),
            Some(count) if count <= MOST_ELEMENTS => Ok(shape),
            _ => Err(format!("more than {MOST_ELEMENTS} elements")),
        }
    }
}

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Suite {
    Quick,
    Full,
}

/// For how long a case is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) seconds: f64,
    pub(crate) least_rounds: usize,
    pub(crate) most_rounds: usize,
}

impl Suite {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Full => "full",
        }
    }

    pub(crate) fn operations(self) -> &'static [Operation] {
        use Operation::{LogSoftmax, Loss, LossGradient, Softmax};
        match self {
            Self::Quick => &[Loss, LossGradient, Softmax],
            Self::Full => &[Loss, LossGradient, Softmax, LogSoftmax],
        }
    }

    pub(crate) fn dtypes(self) -> &'static [DtypeArg] {
        match self {
            Self::Quick => &[DtypeArg::F32, DtypeArg::Bf16],
            Self::Full => &[DtypeArg::F32, DtypeArg::Bf16, DtypeArg::F16],
        }
    }

    /// First more and more classes in matrices of one size, larger than caches; then fewer and fewer
    /// rows.
    pub(crate) fn shapes(self) -> Vec<Shape> {
        let shapes: &[(usize, usize)] = match self {
            Self::Quick => &[
                (1 << 21, 8),
                (1 << 17, 128),
                (1 << 14, 1000),
                (1 << 11, 8192),
                (1 << 9, 32_000),
                (1 << 7, 128_256),
                (1 << 11, 1000),
                (1 << 8, 1000),
                (1 << 5, 1000),
            ],
            Self::Full => &[
                (1 << 23, 8),
                (1 << 21, 32),
                (1 << 19, 128),
                (1 << 16, 1000),
                (1 << 14, 4096),
                (1 << 13, 8192),
                (1 << 11, 32_000),
                (1 << 10, 50_257),
                (1 << 9, 128_256),
                (1 << 8, 1 << 18),
                (1 << 6, 1 << 20),
                (1 << 14, 1000),
                (1 << 12, 1000),
                (1 << 10, 1000),
                (1 << 8, 1000),
                (1 << 6, 1000),
                (1 << 4, 1000),
            ],
        };
        shapes.iter().map(|&(rows, classes)| Shape::new(rows, classes)).collect()
    }

    pub(crate) fn patience(self) -> Patience {
        match self {
            Self::Quick => Patience { seconds: 0.5, least_rounds: 5, most_rounds: 15 },
            Self::Full => Patience { seconds: 2.0, least_rounds: 7, most_rounds: 31 },
        }
    }
}

/// One operation on one matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) operation: Operation,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Shape,
}

impl Case {
    /// Bytes of its matrix.
    pub(crate) fn matrix_bytes(&self) -> usize {
        self.shape.len() * self.dtype.size()
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} {}", self.operation.name(), self.shape, self.dtype)
    }
}
