//! Multi-class focal loss, formula (18).

use crate::cpu::labelled::Labelled;
use crate::cpu::lanes::{Io, Lanes};
use crate::cpu::math::{exp, log};
use crate::cpu::plain::{
    Columns, Finished, Pick, PlainRows, RowResults, Swept, for_each_plain_row,
};
use crate::cpu::simd::{InstructionSet, Simd};
use crate::cpu::{Dloss, reduce, select_times};
use crate::error::Result;
use crate::matrix::Array;
use crate::op::{CrossEntropyInput, CrossEntropyOutput, Focal, Labels, RowTargets};

impl Labelled for Focal {
    fn check(&self, input: &CrossEntropyInput<'_>) -> Result<()> {
        self.validate(input)
    }

    fn wants_gradient(&self) -> bool {
        self.has_gradient()
    }

    fn evaluate<T: Lanes>(
        &self,
        set: InstructionSet,
        (rows, classes): (usize, usize),
        labels: Labels<'_>,
        io: Io<'_, T>,
    ) -> Result<CrossEntropyOutput> {
        let of_rows = self.rows(labels.targets, labels.mask);
        let kept_rows = of_rows.kept();
        let divisor = self.normalizer().unwrap_or(kept_rows as f64);
        let job = FocalRows {
            op: self,
            of_rows,
            dloss: Dloss::of(labels.upstream, self.reduction(), divisor, self.unit()),
            unit: self.unit().per_nat() as f32,
        };
        let (mut losses, mut lse) = (bytemuck::zeroed_vec(rows), bytemuck::zeroed_vec(rows));
        let results = RowResults { losses: &mut losses, lse: &mut lse };
        for_each_plain_row(set, &job, (rows, classes), io, results);
        Ok(CrossEntropyOutput {
            loss: reduce(losses, self.reduction(), divisor),
            lse: Array::F32(lse),
            dlogits: None,
            dtargets: None,
            metrics: None,
            kept_rows: kept_rows as u64,
            total_weight: kept_rows as f64,
        })
    }
}

struct FocalRows<'a> {
    op: &'a Focal,
    of_rows: RowTargets<'a>,
    dloss: Dloss,
    unit: f32,
}

impl PlainRows for FocalRows<'_> {
    const COLUMNS: Columns = Columns::Exps;

    #[inline(always)]
    fn pick(&self, row: usize) -> Pick {
        self.of_rows.class(row).map_or(Pick::Ignored, Pick::Column)
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
