//! Losses of single elements, formulas (18), (22) and (23).

use super::focal::modulation;
use crate::cpu::{Dloss, for_each_row, for_each_row_with_columns, reduce, times};
use crate::dtype::Element;
use crate::error::Result;
use crate::matrix::{Array, with_values};
use crate::op::{ElementKind, ElementwiseInput, ElementwiseOutput, ElementwiseSpec};

/// Elements handled one after the other.
const CHUNK: usize = 4096;

pub(crate) fn elementwise(
    spec: &ElementwiseSpec<'_>,
    input: &ElementwiseInput<'_>,
) -> Result<ElementwiseOutput> {
    spec.validate(input)?;
    let common = spec.common;
    let elements = input.input.values().len();
    let dloss = Dloss::of(input.upstream, common.reduction, elements as f64, common.unit);
    let mut losses = vec![0.0f32; elements];
    let dinput = with_values!(input.input.values(), x => run(spec, input, x, &dloss, &mut losses));
    Ok(ElementwiseOutput {
        loss: reduce(losses, common.reduction, elements as f64),
        dinput: common.gradient.then_some(dinput),
    })
}

fn run<T: Element>(
    spec: &ElementwiseSpec<'_>,
    input: &ElementwiseInput<'_>,
    x: &[T],
    dloss: &Dloss,
    losses: &mut [f32],
) -> Array
where
    Vec<T>: Into<Array>,
{
    let columns = input.input.classes();
    let unit = spec.common.unit.per_nat() as f32;
    let (scale, offset) = spec.labels.scale_and_offset();
    let targets = input.targets.values().to_f32();
    let weights = input.weights.map(|weights| weights.values().to_f32());
    let positive: Option<Vec<f32>> =
        spec.pos_weight.map(|weights| weights.iter().map(|&w| w as f32).collect());
    let one = |i: usize, loss: &mut f32| {
        let positive = positive.as_ref().map_or(1.0, |weights| weights[i % columns]);
        let weight = weights.as_ref().map_or(1.0, |weights| weights[i]);
        let y = scale * targets[i] + offset;
        let (own, slope) = element(spec.kind, x[i].to_f32(), y, positive);
        *loss = unit * times(weight, own);
        dloss.at(i) * times(weight, slope)
    };
    let mut chunks: Vec<&mut [f32]> = losses.chunks_mut(CHUNK).collect();
    if !spec.common.gradient {
        for_each_row(CHUNK, &mut chunks, |chunk, losses| {
            for (i, loss) in losses.iter_mut().enumerate() {
                one(chunk * CHUNK + i, loss);
            }
        });
        return Vec::<T>::new().into();
    }
    let mut dinput = vec![T::from_f32(0.0); x.len()];
    for_each_row_with_columns(CHUNK, &mut dinput, &mut chunks, |chunk, dinput, losses| {
        for (i, (d, loss)) in dinput.iter_mut().zip(losses.iter_mut()).enumerate() {
            *d = T::from_f32(one(chunk * CHUNK + i, loss));
        }
    });
    dinput.into()
}

/// log(1 + exp(x)).
fn softplus(x: f32) -> f32 {
    (-x.abs()).exp().ln_1p() + if x < 0.0 { 0.0 } else { x }
}

fn sigmoid(x: f32) -> f32 {
    let e = (-x.abs()).exp();
    if x < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
}

/// The loss of an element x with target y, and its derivative; `positive` weighs the part that is 1.
fn element(kind: ElementKind, x: f32, y: f32, positive: f32) -> (f32, f32) {
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
            let (hit_factor, hit_slope) = modulation(gamma as f32, p, miss, softplus(-x));
            let (miss_factor, miss_slope) = modulation(gamma as f32, miss, p, softplus(x));
            let (one, zero) = (one as f32 * y, zero as f32 * (1.0 - y));
            (
                times(one * hit_factor, softplus(-x)) + times(zero * miss_factor, softplus(x)),
                zero * miss_slope * p - one * hit_slope * miss,
            )
        }
        ElementKind::Squared => ((x - y) * (x - y), 2.0 * (x - y)),
        ElementKind::Absolute => ((x - y).abs(), sign(x - y)),
        ElementKind::Huber { delta } => {
            let (d, delta) = (x - y, delta as f32);
            if d.abs() <= delta {
                (d * d / 2.0, d)
            } else {
                (delta * (d.abs() - delta / 2.0), delta * sign(d))
            }
        }
        ElementKind::Hinge => match 1.0 - y * x {
            margin if margin.is_nan() => (margin, margin),
            margin if margin > 0.0 => (margin, -y),
            _ => (0.0, 0.0),
        },
    }
}

/// 0 at the kink, NaN for NaN.
fn sign(d: f32) -> f32 {
    if d == 0.0 { 0.0 } else { d.signum() }
}
