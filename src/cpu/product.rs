//! Matrix products in f32, by gemm (<https://docs.rs/gemm>), on all threads of the pool.

#![expect(unsafe_code, reason = "gemm takes pointers and strides; argued below")]

use std::ops::Range;

use gemm_common::Parallelism;
use gemm_f32::gemm::f32::get_gemm_fn;

/// A matrix in memory, or one column block of it.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> View<'a> {
    /// Row after row, without gaps.
    pub(super) fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(values.len(), rows * columns, "a matrix of {rows} rows of {columns}");
        Self { values, rows, columns, row_stride: columns, column_stride: 1 }
    }

    /// Some of its columns.
    pub(super) fn columns(self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.columns, "columns there are");
        let start = (range.start * self.column_stride).min(self.values.len());
        Self { values: &self.values[start..], columns: range.len(), ..self }
    }

    /// Rows for columns.
    pub(super) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// Whether a product replaces what stands there, or is added to it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Into {
    Replace,
    Add,
}

/// `a b` into some columns of `out`, which has rows of `out_columns`.
///
/// Each element is summed up in one order, whatever the number of threads.
pub(super) fn product(
    (out, out_columns, columns): (&mut [f32], usize, Range<usize>),
    a: View<'_>,
    b: View<'_>,
    into: Into,
) {
    assert_eq!(a.columns, b.rows, "as many columns as there are rows to multiply them with");
    assert_eq!(b.columns, columns.len(), "as many columns as there is room for");
    assert!(columns.start <= columns.end && columns.end <= out_columns, "columns that are there");
    assert_eq!(out.len(), a.rows * out_columns, "as many rows as there is room for");
    if a.rows == 0 || b.columns == 0 {
        return;
    }
    let out = &mut out[columns.start..];
    let stride = |n: usize| n.cast_signed();
    // SAFETY: of its left matrix gemm reads element (i, k) at `i * row stride + k * column stride`, of its
    // right one (k, j) alike, and it writes (i, j) of the third, for i, j, k below the three numbers
    // that come first. It likes what it writes by columns: the three matrices are handed over
    // transposed, `b` on the left, `out` with 1 between rows and `out_columns` between columns. A
    // `View` is made of a slice of rows * columns elements with strides (columns, 1); taking columns
    // moves the start by as many elements and leaves fewer of them to each row, so that the last
    // element stays inside the slice; transposing exchanges both dimensions and both strides. `out` has
    // a.rows rows of `out_columns`, of which the columns asserted above are written. Strides are no
    // more than lengths of slices, which fit isize. The slices are borrowed for as long as the call
    // takes, `out` exclusively, so that nothing overlaps.
    unsafe {
        get_gemm_fn()(
            b.columns,
            a.rows,
            a.columns,
            out.as_mut_ptr(),
            stride(out_columns),
            1,
            into == Into::Add,
            b.values.as_ptr(),
            stride(b.row_stride),
            stride(b.column_stride),
            a.values.as_ptr(),
            stride(a.row_stride),
            stride(a.column_stride),
            1.0,
            1.0,
            false,
            false,
            false,
            PARALLELISM,
        );
    }
}

#[cfg(feature = "rayon")]
const PARALLELISM: Parallelism = Parallelism::Rayon(0);
#[cfg(not(feature = "rayon"))]
const PARALLELISM: Parallelism = Parallelism::None;

#[cfg(test)]
mod tests {
    use super::*;

    /// Small whole numbers: sums are exact in any order.
    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7 + seed) % 11) as f32 - 5.0).collect()
    }

    #[test]
    fn products_of_every_form_and_odd_sizes() {
        for (m, k, n) in [(1, 1, 1), (3, 5, 7), (17, 33, 65), (64, 129, 31), (2, 0, 3)] {
            let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
            let expected = |i: usize, j: usize| -> f32 {
                (0..k).map(|l| a[i * k + l] * b[l * n + j]).sum::<f32>() + 0.0
            };
            let transpose = |v: &[f32], rows: usize, columns: usize| -> Vec<f32> {
                (0..columns * rows).map(|i| v[(i % rows) * columns + i / rows]).collect()
            };
            let (a_t, b_t) = (transpose(&a, m, k), transpose(&b, k, n));
            let plain = (View::new(&a, m, k), View::new(&b, k, n));
            let turned = (View::new(&a_t, k, m).transposed(), View::new(&b_t, n, k).transposed());
            for (a, b) in [plain, turned, (plain.0, turned.1), (turned.0, plain.1)] {
                // A column before and two behind are left as they are.
                let mut out = vec![9.0; m * (n + 3)];
                product((&mut out, n + 3, 1..n + 1), a, b, Into::Replace);
                product((&mut out, n + 3, 1..n + 1), a, b, Into::Add);
                for (i, row) in out.chunks(n + 3).enumerate() {
                    assert_eq!((row[0], row[n + 1], row[n + 2]), (9.0, 9.0, 9.0));
                    for j in 0..n {
                        assert_eq!(row[j + 1], 2.0 * expected(i, j), "{m} {k} {n}: {i} {j}");
                    }
                }
            }
        }
    }
}
