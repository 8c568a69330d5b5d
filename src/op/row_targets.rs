//! The targets of rows, and which of the rows count.

use crate::error::{Error, Result};
use crate::op::Targets;
use crate::op::mask::{counts, kept};
use crate::op::options::validate_probs;
use crate::op::search::Nan;

/// The targets of rows, and what leaves rows out: a mask, and for class indices the ignored value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowTargets<'a> {
    pub(crate) targets: Targets<'a>,
    pub(crate) mask: Option<&'a [bool]>,
    ignore_index: Option<i64>,
}

impl<'a> RowTargets<'a> {
    pub(crate) fn new(
        targets: Targets<'a>,
        mask: Option<&'a [bool]>,
        ignore_index: Option<i64>,
    ) -> Self {
        Self { targets, mask, ignore_index }
    }

    pub(crate) fn len(&self) -> usize {
        self.targets.len()
    }

    fn is_ignored(&self, index: i64) -> bool {
        self.targets.probs().is_none() && self.ignore_index == Some(index)
    }

    /// Whether a row counts.
    pub(crate) fn counts(&self, row: usize) -> bool {
        counts(self.mask, row) && !self.is_ignored(self.targets.index(row))
    }

    /// The class of a row that counts; none if targets are probabilities.
    pub(crate) fn class(&self, row: usize) -> Option<usize> {
        // The index of a row that counts is a class: the input was validated.
        usize::try_from(self.targets.index(row)).ok().filter(|_| self.counts(row))
    }

    /// How many rows count.
    pub(crate) fn kept(&self) -> usize {
        match self.mask {
            _ if self.targets.probs().is_some() => kept(self.mask, self.len()),
            None => self.targets.count(|index| !self.is_ignored(index)),
            Some(_) => (0..self.len()).filter(|&row| self.counts(row)).count(),
        }
    }

    /// Fails at the first row that counts and whose index is no class, or one of whose probabilities is none.
    pub(crate) fn validate(&self, classes: usize) -> Result<()> {
        if let Some(probs) = self.targets.probs() {
            let counts = |i| self.counts(i / probs.columns().max(1));
            return validate_probs("targets", &probs, Nan::Taken, counts);
        }
        let is_bad = |index: i64| {
            !self.is_ignored(index) && usize::try_from(index).map_or(true, |y| y >= classes)
        };
        let bad = match self.mask {
            None => self.targets.position(is_bad),
            Some(_) => {
                (0..self.len()).find(|&row| self.counts(row) && is_bad(self.targets.index(row)))
            }
        };
        let Some(row) = bad else { return Ok(()) };
        let (value, row, classes) = (self.targets.index(row), row as u64, classes as u64);
        Err(Error::TargetOutOfRange { row, value, classes })
    }

    /// Of so many rows from the first.
    pub(crate) fn window(&self, first: usize, rows: usize) -> Self {
        let targets = match self.targets {
            Targets::I32(v) => Targets::I32(&v[first..first + rows]),
            Targets::I64(v) => Targets::I64(&v[first..first + rows]),
            Targets::Probs(probs) => Targets::Probs(probs.part(first..first + rows)),
        };
        Self { targets, mask: self.mask.map(|mask| &mask[first..first + rows]), ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, RowTargets};
    use crate::matrix::Matrix;

    #[test]
    fn a_mask_acts_beside_the_ignored_value() {
        let (indices, mask) = ([7i64, 1, -100, 2, 99], [true, true, true, false, false]);
        let rows = RowTargets::new((&indices).into(), Some(&mask), Some(-100));
        assert_eq!(
            (0..5).map(|row| rows.class(row)).collect::<Vec<_>>(),
            [Some(7), Some(1), None, None, None]
        );
        assert_eq!(rows.kept(), 2);
        assert_eq!(rows.validate(8), Ok(()), "99 does not count");
        let bad = Error::TargetOutOfRange { row: 0, value: 7, classes: 7 };
        assert_eq!(rows.validate(7), Err(bad));
        let last = rows.window(3, 2);
        assert_eq!((last.len(), last.kept()), (2, 0));
    }

    #[test]
    fn without_an_ignored_value_every_index_has_to_be_a_class() {
        let rows = RowTargets::new((&[0i32, -100]).into(), None, None);
        assert_eq!(rows.kept(), 2);
        assert!(rows.validate(3).is_err());
    }

    #[test]
    fn probabilities_have_no_index_to_ignore() {
        let probs = Matrix::new(&[1.0f32, 0.0, 0.5, 0.5], 2, 2).expect("two rows");
        let rows = RowTargets::new(probs.into(), None, Some(-1));
        assert_eq!((rows.kept(), rows.class(0)), (2, None));
        let rows = RowTargets::new(probs.into(), Some(&[false, true]), Some(-1));
        assert_eq!((rows.kept(), rows.counts(0), rows.counts(1)), (1, false, true));
    }
}
