//! What the windows of a linear layer's batch come to together, summed in host memory.

use super::{Part, Total};
use crate::cpu::LossSum;
use crate::matrix::{Array, Matrix};
use crate::op::{CrossEntropy, LinearCrossEntropyOutput, Metrics, Reduction, RowTargets, Upstream};

/// What some rows come to.
pub(super) struct Rows {
    /// One by one.
    pub(super) losses: Array,
    pub(super) lse: Array,
    pub(super) dhidden: Option<Array>,
    pub(super) metrics: Option<Metrics>,
}

impl Rows {
    /// Of an operation with losses one by one.
    pub(super) fn of(output: LinearCrossEntropyOutput) -> Self {
        let losses = output.loss.each().cloned().unwrap_or(Array::F32(Vec::new()));
        let LinearCrossEntropyOutput { lse, dhidden, metrics, .. } = output;
        Self { losses, lse, dhidden, metrics }
    }
}

/// Sums over rows whose losses come one by one.
#[derive(Debug)]
pub(super) struct RowSums {
    reduction: Reduction,
    kept_rows: u64,
    total_weight: f64,
    divisor: f64,
    /// Of losses in f32, and of the reference's.
    sum: LossSum,
    exact_sum: f64,
    is_exact: bool,
    correct: u64,
    nll: f64,
    has_metrics: bool,
}

impl RowSums {
    /// For a batch with these targets.
    pub(super) fn new(loss: &CrossEntropy, of_rows: &RowTargets<'_>, is_exact: bool) -> Self {
        let (kept_rows, total_weight) = loss.totals(of_rows);
        Self {
            reduction: loss.reduction(),
            kept_rows,
            total_weight,
            divisor: loss.normalizer().unwrap_or(total_weight),
            sum: LossSum::default(),
            exact_sum: 0.0,
            is_exact,
            correct: 0,
            nll: 0.0,
            has_metrics: loss.has_metrics(),
        }
    }

    /// The upstream gradient of losses one by one.
    pub(super) fn upstream<'a>(&self, upstream: Upstream<'a>) -> Upstream<'a> {
        match upstream {
            // 0 divides to NaN whatever is above it, not to infinity.
            Upstream::Scalar(_) if self.reduction == Reduction::Mean && self.divisor == 0.0 => {
                Upstream::Scalar(f64::NAN)
            }
            Upstream::Scalar(dloss) if self.reduction == Reduction::Mean => {
                Upstream::Scalar(dloss / self.divisor)
            }
            upstream => upstream,
        }
    }

    /// Takes what a window came to into the sums.
    pub(super) fn take(&mut self, rows: Rows) -> Part {
        let Rows { losses, lse, dhidden, metrics } = rows;
        match &losses {
            Array::F32(losses) => self.sum.push(losses),
            losses => self.exact_sum += losses.to_f64().iter().sum::<f64>(),
        }
        if let Some(metrics) = metrics {
            self.correct += metrics.correct;
            self.nll += metrics.nll;
        }
        let each = (self.reduction == Reduction::None).then_some(losses);
        Part { matrix: dhidden, each, lse: Some(lse) }
    }

    pub(super) fn total(&self) -> Total {
        let loss = match self.reduction {
            Reduction::None => None,
            Reduction::Mean if self.is_exact => Some(self.exact_sum / self.divisor),
            _ if self.is_exact => Some(self.exact_sum),
            reduction => Some(self.sum.reduced(reduction, self.divisor)),
        };
        let (kept_rows, total_weight) = (self.kept_rows, self.total_weight);
        let metrics = self
            .has_metrics
            .then(|| Metrics::new(Vec::new(), self.correct, self.nll, self.kept_rows));
        Total { loss, kept_rows, total_weight, metrics }
    }
}

/// No rows of so many columns.
pub(super) fn no_rows(columns: usize) -> crate::error::Result<Matrix<'static>> {
    Matrix::new(&[] as &[f32], 0, columns)
}
