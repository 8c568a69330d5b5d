//! Which shapes go together. Files say their whole shape, and no command takes one for another that has as
//! many elements: swapped axes would pass in silence.

use crate::error::{Failure, Result};
use crate::files::{InputArray, shown};

/// The shapes of what has one number for each row of a matrix: the matrix's leading shape, that with a
/// trailing 1, and the rows in one dimension.
pub fn by_row(matrix: &[u64]) -> Vec<Vec<u64>> {
    let leading = matrix.split_last().map_or(&[][..], |(_, leading)| leading);
    // A matrix that a header describes has as many elements as fit a u64, or none.
    let rows = if leading.contains(&0) { 0 } else { leading.iter().product() };
    let mut shapes = vec![leading.to_vec(), [leading, &[1]].concat()];
    if !shapes.contains(&vec![rows]) {
        shapes.push(vec![rows]);
    }
    shapes
}

/// Whether a file has one number for each row of a matrix.
pub(crate) fn is_by_row(file: &InputArray, matrix: &InputArray) -> bool {
    by_row(&matrix.shape).contains(&file.shape)
}

/// Fails unless a file has one number for each row of a matrix.
pub(crate) fn expect_by_row(file: &InputArray, matrix: &InputArray) -> Result<()> {
    if is_by_row(file, matrix) {
        return Ok(());
    }
    let wanted = format!("{}, one for each row", one_of(&by_row(&matrix.shape)));
    Err(disagree(file, matrix, &wanted))
}

/// Fails unless two matrices have one shape.
pub(crate) fn expect_same(file: &InputArray, other: &InputArray) -> Result<()> {
    if file.shape == other.shape {
        return Ok(());
    }
    Err(disagree(file, other, &other.shown_shape()))
}

/// Fails unless a file has one number for each of `count` columns or classes of a matrix.
pub(crate) fn expect_vector(
    file: &InputArray,
    matrix: &InputArray,
    (count, what): (usize, &str),
) -> Result<()> {
    if file.shape == [count as u64] {
        return Ok(());
    }
    Err(disagree(file, matrix, &format!("[{count}], one for each {what}")))
}

/// Fails unless a file holds the one number that belongs to a reduced loss of a matrix.
pub(crate) fn expect_number(file: &InputArray, matrix: &InputArray) -> Result<()> {
    if file.shape.is_empty() {
        return Ok(());
    }
    Err(disagree(file, matrix, "[], one number for the reduced loss"))
}

/// That two files do not go together.
pub(crate) fn disagree(file: &InputArray, other: &InputArray, wanted: &str) -> Failure {
    let (found, like) = (file.shown_shape(), other.shown_shape());
    let (file, other) = (file.spec(), other.spec());
    Failure::input(format!("{file}: has the shape {found}; for {other} {like} it is {wanted}"))
}

/// Shapes as a text says them.
pub(crate) fn one_of(shapes: &[Vec<u64>]) -> String {
    let shown: Vec<_> = shapes.iter().map(|shape| shown(shape)).collect();
    match shown.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}
