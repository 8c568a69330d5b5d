//! Losses of rows with labels, wherever their gradient goes.

use crate::cpu::lanes::{Io, Lanes, with_pair};
use crate::cpu::simd::InstructionSet;
use crate::cpu::zeros;
use crate::error::Result;
use crate::matrix::{Matrix, MatrixMut, with_values, with_values_mut};
use crate::op::{CrossEntropyInput, CrossEntropyOutput, Labels};

/// A loss of rows with labels.
pub(crate) trait Labelled {
    fn check(&self, input: &CrossEntropyInput<'_>) -> Result<()>;
    /// What cannot be told while rows are computed, or would come too late.
    fn check_before(&self, input: &CrossEntropyInput<'_>) -> Result<()> {
        self.check(input)
    }
    fn wants_gradient(&self) -> bool;
    /// The gradient goes where `io` says.
    fn evaluate<T: Lanes>(
        &self,
        set: InstructionSet,
        shape: (usize, usize),
        labels: Labels<'_>,
        io: Io<'_, T>,
    ) -> Result<CrossEntropyOutput>;
}

fn shape(logits: &Matrix<'_>) -> (usize, usize) {
    (logits.rows(), logits.columns())
}

fn labels<'a>(input: &CrossEntropyInput<'a>) -> Labels<'a> {
    let CrossEntropyInput { targets, upstream, mask, .. } = *input;
    Labels { targets, upstream, mask }
}

pub(crate) fn labelled<L: Labelled>(
    set: InstructionSet,
    op: &L,
    input: &CrossEntropyInput<'_>,
) -> Result<CrossEntropyOutput> {
    op.check_before(input)?;
    let (shape, labels) = (shape(&input.logits), labels(input));
    with_values!(input.logits.values(), x => {
        if !op.wants_gradient() {
            return op.evaluate(set, shape, labels, Io::Read(x));
        }
        let mut dlogits = zeros(x.len())?;
        let mut output = op.evaluate(set, shape, labels, Io::Separate(x, &mut dlogits))?;
        output.dlogits = Some(dlogits.into());
        Ok(output)
    })
}

/// With the gradient in `out`, which fits.
pub(crate) fn labelled_into<L: Labelled>(
    set: InstructionSet,
    op: &L,
    input: &CrossEntropyInput<'_>,
    out: MatrixMut<'_>,
) -> Result<CrossEntropyOutput> {
    op.check_before(input)?;
    let (shape, labels) = (shape(&input.logits), labels(input));
    with_pair!(input.logits.values(), out.into_values(), (x, out) => {
        op.evaluate(set, shape, labels, Io::Separate(x, out))
    })
}

/// With the gradient over the logits.
pub(crate) fn labelled_in_place<L: Labelled>(
    set: InstructionSet,
    op: &L,
    logits: MatrixMut<'_>,
    labels: Labels<'_>,
) -> Result<CrossEntropyOutput> {
    op.check(&labels.of(logits.as_matrix()))?;
    checked_in_place(set, op, logits, labels)
}

/// The same of what was checked as part of a batch.
pub(crate) fn checked_in_place<L: Labelled>(
    set: InstructionSet,
    op: &L,
    logits: MatrixMut<'_>,
    labels: Labels<'_>,
) -> Result<CrossEntropyOutput> {
    let shape = shape(&logits.as_matrix());
    with_values_mut!(logits.into_values(), x => {
        op.evaluate(set, shape, labels, Io::InPlace(x))
    })
}
