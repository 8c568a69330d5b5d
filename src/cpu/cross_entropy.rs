//! Cross-entropy: one statistic a row, then the column formula.

mod chain;
mod row;

use chain::{Chain, Norm};
use row::{Label, Row, RowResult};

use crate::cpu::columns::Sweep;
use crate::cpu::labelled::Labelled;
use crate::cpu::lanes::{Io, Lanes};
use crate::cpu::plain::{
    Columns, Finished, Pick, PlainRows, RowResults, Swept, for_each_plain_row,
};
use crate::cpu::rows::{Rows, Work, for_each_row};
use crate::cpu::simd::{InstructionSet, MAX_LANES, Simd};
use crate::cpu::{Dloss, reduce, select_times};
use crate::error::Result;
use crate::matrix::{Array, Values, with_values};
use crate::op::{
    CrossEntropy, CrossEntropyInput, CrossEntropyOutput, InputForm, Labels, Loss, Metrics, Targets,
};

impl Labelled for CrossEntropy {
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
    ) -> CrossEntropyOutput {
        let (kept_rows, total_weight) = self.totals(&labels.targets);
        let divisor = self.normalizer().unwrap_or(total_weight);
        let e = self.label_smoothing();
        let mut weights: Option<Vec<f32>> =
            self.class_weights().map(|weights| weights.iter().map(|&w| w as f32).collect());
        if let Some(weights) = &mut weights {
            weights.resize(classes.next_multiple_of(MAX_LANES), 0.0);
        }
        let options = Options {
            op: self,
            targets: labels.targets,
            classes,
            chain: Chain::of(self),
            dloss: Dloss::of(labels.upstream, self.reduction(), divisor, self.unit()),
            unit: self.unit().per_nat() as f32,
            weights,
            keep: (1.0 - e) as f32,
            smooth_class: (e / classes.max(1) as f64) as f32,
            smooth_sum: (e / classes.max(1) as f64 * self.weight_sum(classes)) as f32,
        };
        // The targets' gradient is the rarer wish: a pass of its own over the rows.
        let dtargets = match labels.targets.probs() {
            Some(probs) if self.has_target_gradient() => {
                let logits = T::values(io.input());
                Some(
                    with_values!(probs.values(), q => options.target_gradient(set, q, logits, rows)),
                )
            }
            _ => None,
        };
        let mut output = CrossEntropyOutput {
            loss: Loss::Reduced(0.0),
            lse: Array::F32(Vec::new()),
            dlogits: None,
            dtargets,
            metrics: None,
            kept_rows,
            total_weight,
        };
        let (losses, lse) = if options.is_plain() {
            let (mut losses, mut lse) = (bytemuck::zeroed_vec(rows), bytemuck::zeroed_vec(rows));
            let results = RowResults { losses: &mut losses, lse: &mut lse };
            for_each_plain_row(set, &options, (rows, classes), io, results);
            (losses, lse)
        } else {
            let mut results = vec![RowResult::IGNORED; rows];
            for_each_row(set, &options, classes, io, &mut results);
            output.metrics = self.has_metrics().then(|| {
                let nll = results.iter().fold(self.nll_before, |sum, row| sum + f64::from(row.nll));
                let correct = results.iter().filter(|row| row.correct).count() as u64;
                Metrics::new(
                    results.iter().map(|row| row.argmax).collect(),
                    correct,
                    nll,
                    kept_rows,
                )
            });
            results.into_iter().map(|row| (row.loss, row.lse)).unzip()
        };
        output.loss = reduce(losses, self.reduction(), divisor);
        output.lse = Array::F32(lse);
        output
    }
}

struct Options<'a> {
    op: &'a CrossEntropy,
    targets: Targets<'a>,
    classes: usize,
    chain: Chain,
    dloss: Dloss,
    unit: f32,
    /// Whole vectors of them.
    weights: Option<Vec<f32>>,
    /// 1 - e, with label smoothing e.
    keep: f32,
    /// e / classes.
    smooth_class: f32,
    /// The same times the sum of all class weights.
    smooth_sum: f32,
}

impl PlainRows for Options<'_> {
    const COLUMNS: Columns = Columns::Exps;

    #[inline(always)]
    fn pick(&self, row: usize) -> Pick {
        self.op.kept_class(&self.targets, row).map_or(Pick::Ignored, Pick::Column)
    }

    #[inline(always)]
    fn weight(&self, column: usize) -> f32 {
        self.weight_of(column)
    }

    #[inline(always)]
    fn upstream(&self, row: usize) -> f32 {
        self.dloss.at(row)
    }

    /// Formulas (7) and (8).
    #[inline(always)]
    fn finish<S: Simd>(&self, s: S, swept: &Swept<S::F>) -> Finished<S::F> {
        let (z_loss, lse) = (self.op.z_loss() as f32, swept.lse(s));
        let (own, dloss) = (swept.weight, swept.upstream);
        let cross = select_times(s, own, swept.nll(s));
        let loss = s.add(cross, select_times(s, s.splat(z_loss), s.mul(lse, lse)));
        let more = select_times(s, s.splat(2.0 * z_loss), lse);
        let pull = s.sub(select_times(s, more, swept.p(s)), s.mul(own, swept.miss(s)));
        Finished {
            // A class of weight 0 does not hide that the row has no softmax.
            loss: swept.defined(s, s.mul(s.splat(self.unit), loss)),
            lse,
            scale: s.mul(s.mul(dloss, s.add(own, more)), swept.over_sum),
            own: s.mul(dloss, pull),
        }
    }
}

impl Rows for Options<'_> {
    type Result = RowResult;

    fn row<S: Simd>(&self, sweep: Sweep<S>, row: usize, work: &mut Work, result: &mut RowResult) {
        let Work { x, out, a, b, .. } = work;
        let label = if let Some(probs) = self.targets.probs() {
            let columns = row * self.classes..(row + 1) * self.classes;
            with_values!(probs.values(), q => sweep.widen(&q[columns], a));
            Label::Probs(a)
        } else if let Some(y) = self.op.kept_class(&self.targets, row) {
            Label::Class(y)
        } else {
            out.fill(0.0);
            return;
        };
        let (z, norm) = self.normalize(sweep, x, b);
        let row_of = Row { options: self, sweep, label, x, z, norm };
        *result = row_of.result();
        if self.op.has_gradient() {
            let dloss = self.dloss.at(row);
            match label {
                Label::Class(y) => row_of.class_columns(y, dloss, out),
                Label::Probs(q) => row_of.probs_columns(q, dloss, out),
            }
        }
    }
}

impl Options<'_> {
    /// Whether a row's statistic and its target's logit are all that a row needs.
    fn is_plain(&self) -> bool {
        let is_logits = self.op.form() == InputForm::Logits && matches!(self.chain, Chain::None);
        let has_class = self.targets.probs().is_none();
        is_logits && has_class && self.smooth_class == 0.0 && !self.op.has_metrics()
    }

    #[inline(always)]
    fn weight<S: Simd>(&self, s: S, j: usize) -> S::F {
        match &self.weights {
            Some(weights) => s.load(&weights[j..]),
            None => s.splat(1.0),
        }
    }

    fn weight_of(&self, class: usize) -> f32 {
        self.weights.as_ref().map_or(1.0, |weights| weights[class])
    }

    /// A row's z, in `z` unless it is the input itself, and its statistic.
    fn normalize<'a, S: Simd>(
        &self,
        sweep: Sweep<S>,
        x: &'a [f32],
        z: &'a mut [f32],
    ) -> (&'a [f32], Norm) {
        let (s, chain) = (sweep.s, self.chain);
        let z = if matches!(chain, Chain::None) {
            x
        } else {
            sweep.fill(
                z,
                #[inline(always)]
                |j| chain.z(s, s.load(&x[j..])),
            );
            z
        };
        let stat = (self.op.form() == InputForm::Logits).then(|| sweep.stat(&z[..self.classes]));
        (z, Norm(stat.map(|stat| (stat, sweep.log1p(stat.rest())))))
    }

    /// dq = dloss (1 - e) w nll, formula (16).
    fn target_gradient<T: Lanes>(
        &self,
        set: InstructionSet,
        q: &[T],
        logits: Values<'_>,
        rows: usize,
    ) -> Array
    where
        Vec<T>: Into<Array>,
    {
        let mut dtargets = bytemuck::zeroed_vec(q.len());
        let mut nothing = vec![(); rows];
        let job = TargetGradient { options: self, logits };
        for_each_row(set, &job, self.classes, Io::Separate(q, &mut dtargets), &mut nothing);
        dtargets.into()
    }
}

/// The gradient of probability targets; its rows are the targets'.
struct TargetGradient<'a> {
    options: &'a Options<'a>,
    logits: Values<'a>,
}

impl Rows for TargetGradient<'_> {
    type Result = ();

    fn row<S: Simd>(&self, sweep: Sweep<S>, row: usize, work: &mut Work, (): &mut ()) {
        let (s, options) = (sweep.s, self.options);
        let Work { out, a, b, .. } = work;
        let columns = row * options.classes..(row + 1) * options.classes;
        with_values!(self.logits, x => sweep.widen(&x[columns], a));
        let (z, norm) = options.normalize(sweep, a, b);
        let dloss = if norm.is_defined() { options.dloss.at(row) } else { f32::NAN };
        sweep.fill(
            out,
            #[inline(always)]
            |j| {
                let part = s.mul(s.splat(options.keep), options.weight(s, j));
                s.mul(s.splat(dloss), select_times(s, part, norm.nll(s, s.load(&z[j..]))))
            },
        );
    }
}
