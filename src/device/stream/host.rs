//! What is carried from window to window on the CPU and by the reference.

use super::counts::Counts;
use super::{Part, Total};
use crate::cpu::LossSum;
use crate::matrix::Array;
use crate::op::{Data, Kind, Loss, Metrics, OutputKind, Reduction, Results, Upstream};

/// The sum of the losses, in the order and the blocks of the whole batch.
#[derive(Debug)]
enum Sum {
    Cpu(LossSum),
    Reference(f64),
}

#[derive(Debug)]
pub(super) struct Host {
    sum: Sum,
    nll: f64,
    correct: u64,
}

impl Host {
    pub(super) fn new(is_reference: bool) -> Self {
        // As Rust's sums begin.
        let sum = if is_reference { Sum::Reference(-0.0) } else { Sum::Cpu(LossSum::default()) };
        Self { sum, nll: 0.0, correct: 0 }
    }

    /// The operation and the input of a window: with losses one by one, and an upstream gradient that
    /// stands for that of the whole batch's loss.
    pub(super) fn prepare<'k, 'w>(
        &self,
        kind: &'k Kind<'_>,
        counts: &Counts,
        mut data: Data<'w>,
    ) -> (Kind<'k>, Data<'w>) {
        let common = kind.common();
        if let (Reduction::Mean, Upstream::Scalar(dloss)) = (common.reduction, data.upstream) {
            data.upstream = Upstream::Scalar(match self.sum {
                _ if counts.divisor == 0.0 => f64::NAN,
                Sum::Reference(_) => dloss / counts.divisor,
                // The CPU path multiplies by the unit, divides and then rounds to f32. What is f32
                // already comes through a division and a multiplication in f64 as it was.
                Sum::Cpu(_) => {
                    let unit = common.unit.per_nat();
                    f64::from((dloss * unit / counts.divisor) as f32) / unit
                }
            });
        }
        (kind.of_window(self.nll), data)
    }

    /// What a window comes to; its losses are taken into the sum.
    pub(super) fn take(&mut self, kind: &Kind<'_>, results: Results) -> Part {
        let Results { loss, rows, matrix, metrics, .. } = results;
        let each = if let Loss::Each(losses) = loss { Some(losses) } else { None };
        let mut part = match kind.output() {
            OutputKind::RowLosses { .. } => Part { matrix, each, lse: Some(rows) },
            OutputKind::ElementLosses { .. } => Part { matrix, each, lse: None },
            OutputKind::Matrix => Part { matrix, ..Part::default() },
            OutputKind::Rows { .. } => Part { each: Some(rows), ..Part::default() },
        };
        match (&mut self.sum, &part.each) {
            (Sum::Cpu(sum), Some(Array::F32(losses))) => sum.push(losses),
            (Sum::Reference(sum), Some(Array::F64(losses))) => {
                *sum = losses.iter().fold(*sum, |sum, loss| sum + loss);
            }
            _ => {}
        }
        if let Some(metrics) = metrics {
            self.nll = metrics.nll;
            self.correct += metrics.correct;
        }
        if kind.common().reduction != Reduction::None {
            part.each = None;
        }
        part
    }

    pub(super) fn finish(&self, kind: &Kind<'_>, counts: &Counts) -> Total {
        let reduction = kind.common().reduction;
        let &Counts { kept_rows, total_weight, divisor } = counts;
        let loss = match (&self.sum, reduction) {
            (_, Reduction::None) => None,
            (Sum::Cpu(sum), _) => Some(sum.reduced(reduction, divisor)),
            (Sum::Reference(_), Reduction::Mean) if divisor == 0.0 => Some(f64::NAN),
            (Sum::Reference(sum), Reduction::Mean) => Some((sum + 0.0) / divisor),
            (Sum::Reference(sum), _) => Some(sum + 0.0),
        };
        let metrics =
            kind.has_metrics().then(|| Metrics::new(Vec::new(), self.correct, self.nll, kept_rows));
        Total { loss, kept_rows, total_weight, metrics }
    }
}
