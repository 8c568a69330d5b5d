//! Multi-class focal loss, formula (18).

use crate::cpu::lanes::{Io, Lanes, with_pair};
use crate::cpu::math::{exp, log};
use crate::cpu::plain::{
    Columns, Finished, Pick, PlainRows, RowResults, Swept, for_each_plain_row,
};
use crate::cpu::simd::{InstructionSet, Simd};
use crate::cpu::{Dloss, reduce, select_times};
use crate::error::Result;
use crate::matrix::{Array, MatrixMut, with_values, with_values_mut};
use crate::op::{CrossEntropyInput, CrossEntropyOutput, Focal, Labels, Targets};

pub(crate) fn focal(
    set: InstructionSet,
    op: &Focal,
    input: &CrossEntropyInput<'_>,
) -> Result<CrossEntropyOutput> {
    op.validate(input)?;
    let labels = Labels::new(input.targets).with_upstream(input.upstream);
    let shape = (input.logits.rows(), input.logits.classes());
    with_values!(input.logits.values(), x => {
        if !op.has_gradient() {
            return Ok(evaluate(set, op, shape, labels, Io::Read(x)));
        }
        let mut dlogits = bytemuck::zeroed_vec(x.len());
        let mut output = evaluate(set, op, shape, labels, Io::Separate(x, &mut dlogits));
        output.dlogits = Some(dlogits.into());
        Ok(output)
    })
}

/// With the gradient in `out`, which fits.
pub(crate) fn focal_into(
    set: InstructionSet,
    op: &Focal,
    input: &CrossEntropyInput<'_>,
    out: MatrixMut<'_>,
) -> Result<CrossEntropyOutput> {
    op.validate(input)?;
    let labels = Labels::new(input.targets).with_upstream(input.upstream);
    let shape = (input.logits.rows(), input.logits.classes());
    with_pair!(input.logits.values(), out.into_values(), (x, out) => {
        Ok(evaluate(set, op, shape, labels, Io::Separate(x, out)))
    })
}

/// With the gradient over the logits.
pub(crate) fn focal_in_place(
    set: InstructionSet,
    op: &Focal,
    logits: MatrixMut<'_>,
    labels: Labels<'_>,
) -> Result<CrossEntropyOutput> {
    let matrix = logits.as_matrix();
    let shape = (matrix.rows(), matrix.classes());
    let input = CrossEntropyInput::new(matrix, labels.targets).with_upstream(labels.upstream);
    op.validate(&input)?;
    with_values_mut!(logits.into_values(), x => {
        Ok(evaluate(set, op, shape, labels, Io::InPlace(x)))
    })
}

/// What `labels` and `io` hold was validated; the gradient goes where `io` says.
fn evaluate<T: Lanes>(
    set: InstructionSet,
    op: &Focal,
    (rows, classes): (usize, usize),
    labels: Labels<'_>,
    io: Io<'_, T>,
) -> CrossEntropyOutput {
    let kept_rows = op.kept_rows(&labels.targets);
    let divisor = kept_rows as f64;
    let job = FocalRows {
        op,
        targets: labels.targets,
        dloss: Dloss::of(labels.upstream, op.reduction(), divisor, op.unit()),
        unit: op.unit().per_nat() as f32,
    };
    let (mut losses, mut lse) = (bytemuck::zeroed_vec(rows), bytemuck::zeroed_vec(rows));
    let results = RowResults { losses: &mut losses, lse: &mut lse };
    for_each_plain_row(set, &job, (rows, classes), io, results);
    CrossEntropyOutput {
        loss: reduce(losses, op.reduction(), divisor),
        lse: Array::F32(lse),
        dlogits: None,
        dtargets: None,
        metrics: None,
        kept_rows,
        total_weight: divisor,
    }
}

struct FocalRows<'a> {
    op: &'a Focal,
    targets: Targets<'a>,
    dloss: Dloss,
    unit: f32,
}

impl PlainRows for FocalRows<'_> {
    const COLUMNS: Columns = Columns::Exps;

    #[inline(always)]
    fn pick(&self, row: usize) -> Pick {
        self.op.kept_class(&self.targets, row).map_or(Pick::Ignored, Pick::Column)
    }

    #[inline(always)]
    fn weight(&self, column: usize) -> f32 {
        self.op.factor(column) as f32
    }

    #[inline(always)]
    fn upstream(&self, row: usize) -> f32 {
        self.dloss.at(row)
    }

    #[inline(always)]
    fn finish<S: Simd>(&self, s: S, swept: &Swept<S::F>) -> Finished<S::F> {
        let (alpha, miss, nll) = (swept.weight, swept.miss(s), swept.nll(s));
        let gamma = self.op.gamma() as f32;
        let (modulating, factor) = modulation(s, gamma, swept.p(s), miss, nll);
        let loss = select_times(s, s.mul(alpha, modulating), nll);
        let scale = s.mul(s.mul(swept.upstream, alpha), factor);
        Finished {
            loss: swept.defined(s, s.mul(s.splat(self.unit), loss)),
            lse: swept.lse(s),
            scale: s.mul(scale, swept.over_sum),
            own: s.neg(s.mul(scale, miss)),
        }
    }
}

/// Of a class with `miss` = 1 - p: (1 - p)^gamma, and the gradient's factor
/// (1 - p)^gamma + gamma p (1 - p)^(gamma - 1) nll.
#[inline(always)]
pub(super) fn modulation<S: Simd>(
    s: S,
    gamma: f32,
    p: S::F,
    miss: S::F,
    nll: S::F,
) -> (S::F, S::F) {
    let (one, is_sure) = (s.splat(1.0), s.eq(miss, s.splat(0.0)));
    let modulating = match gamma {
        // 0^0 is 1 here.
        0.0 => s.select(s.eq(miss, miss), one, miss),
        gamma => exp(s, s.mul(s.splat(gamma), log(s, miss))),
    };
    // nll / (1 - p) tends to 1 where p tends to 1.
    let ratio = s.select(is_sure, one, s.div(nll, miss));
    let more = select_times(s, s.mul(s.splat(gamma), p), ratio);
    (modulating, s.fma(modulating, more, modulating))
}
