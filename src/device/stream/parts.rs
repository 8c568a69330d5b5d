//! What operations read and make, in forms that they share.

use crate::matrix::{Matrix, Place};
use crate::op::{Targets, Upstream};

/// The input of any operation, in one form.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct Parts<'w> {
    pub(crate) input: Matrix<'w>,
    /// Probability targets, the teacher, or the targets of elements.
    pub(crate) second: Option<Matrix<'w>>,
    /// The weights of elements.
    pub(crate) factors: Option<Matrix<'w>>,
    /// Class indices.
    pub(crate) targets: Option<Targets<'w>>,
    pub(crate) upstream: Upstream<'w>,
    /// Which rows, or which elements, count.
    pub(crate) mask: Option<&'w [bool]>,
}

impl<'w> Parts<'w> {
    pub(super) fn of(input: Matrix<'w>) -> Self {
        let upstream = Upstream::default();
        Self { input, second: None, factors: None, targets: None, upstream, mask: None }
    }

    pub(crate) fn place(&mut self, place: Place) {
        self.input = self.input.at(place);
        self.second = self.second.map(|matrix| matrix.at(place));
        self.factors = self.factors.map(|matrix| matrix.at(place));
    }
}

/// What an operation makes of a window.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Made {
    /// A loss a row, and a gradient if so.
    RowLosses { gradient: bool },
    /// A loss an element, and a gradient if so.
    ElementLosses { each: bool, gradient: bool, by_column: bool },
    /// A matrix.
    Matrix,
    /// A number a row: this of the two columns that a GPU has of them.
    Rows { column: usize },
}

impl Made {
    /// Matrices that are made.
    pub(crate) fn matrices(self) -> usize {
        match self {
            Self::RowLosses { gradient } | Self::ElementLosses { gradient, .. } => gradient.into(),
            Self::Matrix => 1,
            Self::Rows { .. } => 0,
        }
    }

    pub(crate) fn by_element(self) -> bool {
        matches!(self, Self::ElementLosses { .. })
    }

    /// Whether an element's column matters.
    #[cfg(feature = "gpu")]
    pub(crate) fn by_column(self) -> bool {
        !matches!(self, Self::ElementLosses { by_column: false, .. })
    }
}
