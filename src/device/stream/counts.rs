//! What is known of a whole batch before its first window: that it can be computed, and what a mean divides
//! by.

use super::Batch;
use crate::error::{Error, Result};
use crate::op::{CrossEntropy, Focal, Kind, Targets, kept};

/// Rows, and what a mean divides by unless it is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counts {
    pub(super) kept_rows: u64,
    pub(super) total_weight: f64,
    pub(super) divisor: f64,
}

impl Counts {
    pub(super) fn of(kind: &Kind<'_>, batch: &Batch<'_>) -> Self {
        let kept = kept(batch.mask, batch.rows);
        let (kept_rows, total_weight) = match (kind, batch.targets) {
            (Kind::CrossEntropy(op), Some(targets)) => op.totals(&op.rows(targets, batch.mask)),
            (Kind::Focal(op), Some(targets)) => {
                let kept = op.rows(targets, batch.mask).kept();
                (kept as u64, kept as f64)
            }
            (Kind::Elementwise(_), _) => {
                let elements = batch.rows.saturating_mul(batch.columns);
                let kept = batch.kept_elements.unwrap_or(elements);
                ((elements / batch.shown_columns.max(1)) as u64, kept as f64)
            }
            (
                Kind::CrossEntropy(_)
                | Kind::Focal(_)
                | Kind::LinearCrossEntropy(_)
                | Kind::Divergence(_)
                | Kind::Transform(_, _),
                _,
            ) => (kept as u64, kept as f64),
        };
        Self { kept_rows, total_weight, divisor: kind.common().divisor(total_weight) }
    }
}

/// Fails if an operation does not come in windows, or not of this batch.
pub(super) fn check(kind: &Kind<'_>, batch: &Batch<'_>) -> Result<()> {
    let columns = batch.columns as u64;
    match kind {
        Kind::CrossEntropy(op) => check_cross_entropy(op, batch),
        Kind::Focal(op) => check_focal(op, batch),
        Kind::LinearCrossEntropy(_) => {
            let reason = "comes by Device::stream_linear or Device::stream_classes".to_owned();
            Err(Error::InvalidInput { what: "linear layer", reason })
        }
        Kind::Divergence(spec) => spec.validate_options(),
        Kind::Elementwise(spec) => spec.validate_options(columns),
        Kind::Transform(_, _) => Ok(()),
    }
}

fn check_cross_entropy(op: &CrossEntropy, batch: &Batch<'_>) -> Result<()> {
    op.validate_options(batch.columns as u64)?;
    let targets = indices(batch)?;
    op.validate_kind(targets.is_none())?;
    if op.has_target_gradient() {
        let reason = "is not there window by window".to_owned();
        return Err(Error::InvalidInput { what: "target_gradient", reason });
    }
    targets.map_or(Ok(()), |targets| op.rows(targets, batch.mask).validate(batch.columns))
}

fn check_focal(op: &Focal, batch: &Batch<'_>) -> Result<()> {
    op.validate_options(batch.columns as u64)?;
    let targets = indices(batch)?.ok_or(Error::InvalidInput {
        what: "targets",
        reason: "have to be known before the first window".to_owned(),
    })?;
    op.rows(targets, batch.mask).validate(batch.columns)
}

/// The class indices of the whole batch.
fn indices<'a>(batch: &Batch<'a>) -> Result<Option<Targets<'a>>> {
    let Some(targets) = batch.targets else { return Ok(None) };
    if targets.probs().is_some() {
        return Err(Error::InvalidInput {
            what: "targets",
            reason: "are probabilities; those come with the windows".to_owned(),
        });
    }
    if targets.len() == batch.rows {
        return Ok(Some(targets));
    }
    let (rows, columns) = (batch.rows, batch.columns);
    Err(Error::ShapeMismatch {
        what: "targets",
        expected: format!("[{rows}], one for each row of logits [{rows}, {columns}]"),
        found: format!("[{}]", targets.len()),
    })
}
