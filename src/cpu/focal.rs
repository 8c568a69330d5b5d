//! Multi-class focal loss, formula (18).

use crate::cpu::{Dloss, RowStat, for_each_row_with_columns, reduce, times};
use crate::dtype::Element;
use crate::error::Result;
use crate::matrix::{Array, with_values};
use crate::op::{CrossEntropyInput, CrossEntropyOutput, Focal};

/// Of a class with `miss` = 1 - p: (1 - p)^gamma, and the gradient's factor
/// (1 - p)^gamma + gamma p (1 - p)^(gamma - 1) nll.
pub(super) fn modulation(gamma: f32, p: f32, miss: f32, nll: f32) -> (f32, f32) {
    let modulating = miss.powf(gamma);
    // nll / (1 - p) tends to 1 where p tends to 1.
    let ratio = if miss == 0.0 { 1.0 } else { nll / miss };
    (modulating, modulating + modulating * times(gamma * p, ratio))
}

pub(crate) fn focal(op: &Focal, input: &CrossEntropyInput<'_>) -> Result<CrossEntropyOutput> {
    op.validate(input)?;
    let kept_rows = op.kept_rows(&input.targets);
    let divisor = kept_rows as f64;
    let dloss = Dloss::of(input.upstream, op.reduction(), divisor, op.unit());
    let mut stats = vec![(0.0, 0.0); input.logits.rows()];
    let dlogits = with_values!(input.logits.values(), x => run(op, input, x, &dloss, &mut stats));
    let (losses, lse) = stats.into_iter().unzip();
    Ok(CrossEntropyOutput {
        loss: reduce(losses, op.reduction(), divisor),
        lse: Array::F32(lse),
        dlogits: op.has_gradient().then_some(dlogits),
        dtargets: None,
        metrics: None,
        kept_rows,
        total_weight: divisor,
    })
}

fn run<T: Element>(
    op: &Focal,
    input: &CrossEntropyInput<'_>,
    x: &[T],
    dloss: &Dloss,
    stats: &mut [(f32, f32)],
) -> Array
where
    Vec<T>: Into<Array>,
{
    let classes = input.logits.classes();
    let unit = op.unit().per_nat() as f32;
    // Without a gradient the columns of each row are none.
    let width = if op.has_gradient() { classes } else { 0 };
    let mut dlogits = vec![T::from_f32(0.0); stats.len() * width];
    let row = |i: usize, dlogits: &mut [T], out: &mut (f32, f32)| {
        let Some(y) = op.kept_class(&input.targets, i) else { return };
        let x = &x[i * classes..(i + 1) * classes];
        let stat = RowStat::of(x);
        let own = x[y].to_f32();
        let (p, miss, nll) =
            ((own - stat.max()).exp() / stat.sum(), -stat.p_minus_1(own), stat.nll(own));
        let (modulating, factor) = modulation(op.gamma() as f32, p, miss, nll);
        let alpha = op.factor(y) as f32;
        let loss = unit * times(alpha * modulating, nll);
        *out = (if stat.is_defined() { loss } else { f32::NAN }, stat.lse());
        let scale = dloss.at(i) * alpha * factor;
        for (d, x) in dlogits.iter_mut().zip(x) {
            *d = T::from_f32(scale * ((x.to_f32() - stat.max()).exp() / stat.sum()));
        }
        if let Some(d) = dlogits.get_mut(y) {
            *d = T::from_f32(-scale * miss);
        }
    };
    if width == 0 {
        super::for_each_row(classes, stats, |i, out| row(i, &mut [], out));
    } else {
        for_each_row_with_columns(classes, &mut dlogits, stats, row);
    }
    dlogits.into()
}
