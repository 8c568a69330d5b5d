//! The rows of a batch that count.

use crate::matrix::{Array, Matrix, with_values};
use crate::op::{RowTargets, Upstream};

/// The rows of a batch that count.
#[derive(Debug)]
pub(crate) struct KeptRows {
    rows: Vec<usize>,
    all: usize,
}

impl KeptRows {
    pub(crate) fn new(of: &RowTargets<'_>) -> Self {
        let all = of.len();
        Self { rows: (0..all).filter(|&row| of.counts(row)).collect(), all }
    }

    #[cfg(feature = "gpu")]
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// How many rows there are with those that do not count.
    pub(crate) fn all(&self) -> usize {
        self.all
    }

    /// Whether all rows count.
    pub(crate) fn are_all(&self) -> bool {
        self.rows.len() == self.all
    }

    pub(crate) fn rows(&self) -> &[usize] {
        &self.rows
    }

    /// A number for each row of the batch, from those of the kept ones.
    pub(crate) fn spread<T: Copy>(&self, kept: Vec<T>, ignored: T) -> Vec<T> {
        self.spread_rows(kept, ignored, 1)
    }

    /// The same of rows of numbers.
    fn spread_rows<T: Copy>(&self, kept: Vec<T>, ignored: T, width: usize) -> Vec<T> {
        if self.are_all() {
            return kept;
        }
        let mut all = vec![ignored; self.all * width];
        for (row, values) in self.rows.iter().zip(kept.chunks_exact(width)) {
            all[row * width..][..width].copy_from_slice(values);
        }
        all
    }

    /// Rows of the batch, 0 where they do not count, from the kept ones.
    #[cfg(feature = "gpu")]
    pub(crate) fn spread_array(&self, kept: Array, width: usize) -> Array {
        match kept {
            Array::F16(v) => self.spread_rows(v, half::f16::ZERO, width).into(),
            Array::Bf16(v) => self.spread_rows(v, half::bf16::ZERO, width).into(),
            Array::F32(v) => self.spread_rows(v, 0.0, width).into(),
            Array::F64(v) => self.spread_rows(v, 0.0, width).into(),
        }
    }

    /// The kept rows of a matrix.
    #[cfg(feature = "gpu")]
    pub(crate) fn gather(&self, matrix: &Matrix<'_>) -> Array {
        gather(matrix, &self.rows)
    }
}

/// Rows of a matrix, one behind the other.
pub(crate) fn gather(matrix: &Matrix<'_>, rows: &[usize]) -> Array {
    let width = matrix.columns();
    with_values!(matrix.values(), v => {
        let mut gathered = Vec::with_capacity(rows.len() * width);
        for row in rows {
            gathered.extend_from_slice(&v[row * width..][..width]);
        }
        Array::from(gathered)
    })
}

/// Rows of a batch that lie next to each other, if these do.
pub(crate) fn together(rows: &[usize]) -> Option<std::ops::Range<usize>> {
    let (first, last) = (*rows.first()?, *rows.last()?);
    (last - first + 1 == rows.len()).then_some(first..last + 1)
}

/// The upstream gradient of some rows.
pub(crate) fn upstream_of_rows(upstream: Upstream<'_>, rows: &[usize]) -> Option<Vec<f64>> {
    let Upstream::Each(dloss) = upstream else { return None };
    Some(with_values!(dloss, v => {
        rows.iter().map(|&row| crate::dtype::Element::to_f64(v[row])).collect()
    }))
}

/// What labels the kept rows of a window, wherever the caller's have gone.
#[derive(Debug)]
pub(crate) struct KeptLabels {
    pub(crate) kept: KeptRows,
    /// A class for each.
    pub(crate) targets: Vec<i64>,
    number: f64,
    each: Option<Vec<f64>>,
}

impl KeptLabels {
    pub(crate) fn new(of: &RowTargets<'_>, upstream: Upstream<'_>) -> Self {
        let kept = KeptRows::new(of);
        Self {
            targets: kept.rows().iter().map(|&row| of.targets.index(row)).collect(),
            number: if let Upstream::Scalar(dloss) = upstream { dloss } else { 1.0 },
            each: upstream_of_rows(upstream, kept.rows()),
            kept,
        }
    }

    /// The upstream gradient of the kept rows.
    pub(crate) fn upstream(&self) -> Upstream<'_> {
        match &self.each {
            Some(dloss) => Upstream::Each(dloss.into()),
            None => Upstream::Scalar(self.number),
        }
    }
}

#[cfg(test)]
#[cfg(feature = "gpu")]
mod tests {
    use super::{Array, KeptRows, Matrix, RowTargets};

    fn kept(targets: &[i64]) -> KeptRows {
        KeptRows::new(&RowTargets::new(targets.into(), None, Some(-100)))
    }

    #[test]
    fn rows_are_gathered_and_spread() {
        let some = kept(&[-100, 2, -100, 0]);
        assert_eq!((some.len(), some.all(), some.are_all()), (2, 4, false));
        let matrix = Matrix::new(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], 4, 2);
        let gathered = some.gather(&matrix.expect("four rows"));
        assert_eq!(gathered, Array::F32(vec![3.0, 4.0, 7.0, 8.0]));
        let spread = some.spread_array(gathered, 2);
        assert_eq!(spread, Array::F32(vec![0.0, 0.0, 3.0, 4.0, 0.0, 0.0, 7.0, 8.0]));
        assert_eq!(some.spread(vec![5, 6], 9), [9, 5, 9, 6]);
    }

    #[test]
    fn where_none_is_ignored_nothing_moves() {
        let all = kept(&[1, 0, 2]);
        assert_eq!((all.len(), all.are_all()), (3, true));
        assert_eq!(all.spread(vec![5, 6, 7], 9), [5, 6, 7]);
    }
}
