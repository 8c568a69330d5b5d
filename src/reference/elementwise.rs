//! Losses of single elements, formulas (18), (22) and (23).

use super::focal::modulation;
use super::{reduce, times, upstream_of};
use crate::error::Result;
use crate::matrix::Array;
use crate::op::{ElementKind, ElementwiseInput, ElementwiseOutput, ElementwiseSpec, counts, kept};

/// log(1 + exp(x)).
fn softplus(x: f64) -> f64 {
    (-x.abs()).exp().ln_1p() + x.max(0.0)
}

fn sigmoid(x: f64) -> f64 {
    let e = (-x.abs()).exp();
    if x < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
}

/// The loss of an element x with target y, and its derivative; `positive` weighs the part that is 1.
fn element(kind: ElementKind, x: f64, y: f64, positive: f64) -> (f64, f64) {
    match kind {
        ElementKind::BinaryLogits => (
            times(1.0 - y, softplus(x)) + times(positive * y, softplus(-x)),
            (1.0 - y) * sigmoid(x) - positive * y * sigmoid(-x),
        ),
        ElementKind::BinaryProbs => (
            // From 0, so that no loss is -0.
            0.0 - (times(y, x.ln().max(-100.0)) + times(1.0 - y, (-x).ln_1p().max(-100.0))),
            (x - y) / (x * (1.0 - x)).max(1e-12),
        ),
        ElementKind::BinaryFocal { gamma, one, zero } => {
            let (p, miss) = (sigmoid(x), sigmoid(-x));
            let (hit_factor, hit_slope) = modulation(gamma, p, miss, softplus(-x));
            let (miss_factor, miss_slope) = modulation(gamma, miss, p, softplus(x));
            let (one, zero) = (one * y, zero * (1.0 - y));
            (
                times(one * hit_factor, softplus(-x)) + times(zero * miss_factor, softplus(x)),
                zero * miss_slope * p - one * hit_slope * miss,
            )
        }
        ElementKind::Squared => ((x - y) * (x - y), 2.0 * (x - y)),
        ElementKind::Absolute => ((x - y).abs(), sign(x - y)),
        ElementKind::Huber { delta } => {
            let d = x - y;
            if d.abs() <= delta {
                (d * d / 2.0, d)
            } else {
                (delta * (d.abs() - delta / 2.0), delta * sign(d))
            }
        }
        ElementKind::Hinge => {
            let margin = 1.0 - y * x;
            match margin {
                margin if margin.is_nan() => (margin, margin),
                margin if margin > 0.0 => (margin, -y),
                _ => (0.0, 0.0),
            }
        }
    }
}

/// 0 at the kink, NaN for NaN.
fn sign(d: f64) -> f64 {
    if d == 0.0 { 0.0 } else { d.signum() }
}

pub(super) fn elementwise(
    spec: &ElementwiseSpec<'_>,
    input: &ElementwiseInput<'_>,
) -> Result<ElementwiseOutput> {
    spec.validate(input)?;
    let (x, y) = (input.input.values().to_f64(), input.targets.values().to_f64());
    let columns = input.input.columns();
    let weights = input.weights.map_or(vec![1.0; x.len()], |weights| weights.values().to_f64());
    let (reduction, unit) = (spec.common.reduction, spec.common.unit.per_nat());
    let mask = spec.mask(input);
    let divisor = spec.common.divisor(kept(mask.as_deref(), x.len()) as f64);
    let dloss = upstream_of(input.upstream, x.len(), reduction, divisor);
    let (scale, offset) = spec.labels.scale_and_offset();
    let (mut losses, mut dinput) = (vec![0.0; x.len()], vec![0.0; x.len()]);
    for i in (0..x.len()).filter(|&i| counts(mask.as_deref(), i)) {
        let y = f64::from(scale) * y[i] + f64::from(offset);
        let (loss, slope) = element(spec.kind, x[i], y, spec.positive(i % columns));
        losses[i] = unit * times(weights[i], loss);
        dinput[i] = dloss[i] * unit * times(weights[i], slope);
    }
    Ok(ElementwiseOutput {
        loss: reduce(losses, reduction, divisor),
        dinput: spec.common.gradient.then_some(Array::F64(dinput)),
    })
}
