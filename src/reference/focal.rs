//! Multi-class focal loss, formula (18).

use super::{RowStat, lse_of, reduce, times, upstream_of};
use crate::error::Result;
use crate::matrix::Array;
use crate::op::{CrossEntropyInput, CrossEntropyOutput, Focal};

/// Of a class with `miss` = 1 - p: (1 - p)^gamma, and the gradient's factor
/// (1 - p)^gamma + gamma p (1 - p)^(gamma - 1) nll.
pub(super) fn modulation(gamma: f64, p: f64, miss: f64, nll: f64) -> (f64, f64) {
    let modulating = miss.powf(gamma);
    // nll / (1 - p) tends to 1 where p tends to 1.
    let ratio = if miss == 0.0 { 1.0 } else { nll / miss };
    (modulating, modulating + modulating * times(gamma * p, ratio))
}

/// Multi-class focal loss.
pub(super) fn focal(op: &Focal, input: &CrossEntropyInput<'_>) -> Result<CrossEntropyOutput> {
    op.validate(input)?;
    let (rows, classes) = (input.logits.rows(), input.logits.columns());
    let logits = input.logits.values().to_f64();
    let of_rows = op.rows(input.targets, input.mask);
    let total_weight = of_rows.kept() as f64;
    let divisor = op.normalizer().unwrap_or(total_weight);
    let unit = op.unit().per_nat();
    let dloss = upstream_of(input.upstream, rows, op.reduction(), divisor);
    let (mut losses, mut lse) = (vec![0.0; rows], vec![0.0; rows]);
    let mut dlogits = vec![0.0; rows * classes];
    for i in 0..rows {
        let Some(y) = of_rows.class(i) else { continue };
        let x = &logits[i * classes..(i + 1) * classes];
        let stat = RowStat::of(x);
        lse[i] = lse_of(&stat);
        let Ok(stat) = stat else {
            losses[i] = f64::NAN;
            dlogits[i * classes..(i + 1) * classes].fill(f64::NAN);
            continue;
        };
        let (p, miss, nll) = (stat.p(x[y]), -stat.p_minus_1(x[y]), stat.nll(x[y]));
        let (modulating, factor) = modulation(op.gamma(), p, miss, nll);
        losses[i] = unit * times(op.factor(y) * modulating, nll);
        for j in 0..classes {
            let pull = if j == y { -miss } else { stat.p(x[j]) };
            dlogits[i * classes + j] = dloss[i] * unit * op.factor(y) * factor * pull;
        }
    }
    Ok(CrossEntropyOutput {
        loss: reduce(losses, op.reduction(), divisor),
        lse: Array::F64(lse),
        dlogits: op.has_gradient().then_some(Array::F64(dlogits)),
        dtargets: None,
        metrics: None,
        kept_rows: of_rows.kept() as u64,
        total_weight,
    })
}
