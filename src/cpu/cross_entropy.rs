//! Cross-entropy: one statistic a row, then the column formula.

mod blocks;
mod chain;
mod row;
mod seen;

pub(crate) use blocks::{BlockResults, Blocks};
pub(crate) use seen::Seen;

use chain::{Chain, Norm};
use row::{Label, Row, RowResult, Span};

use std::sync::atomic::{AtomicBool, Ordering};

use crate::cpu::columns::Sweep;
use crate::cpu::labelled::Labelled;
use crate::cpu::lanes::{Io, Lanes};
use crate::cpu::plain::{
    Columns, Finished, Pick, PlainRows, RowResults, Swept, for_each_plain_row,
};
use crate::cpu::rows::{Rows, Work, for_each_row};
use crate::cpu::simd::{InstructionSet, MAX_LANES, Simd};
use crate::cpu::{Dloss, reduce, select_times};
use crate::dtype::Dtype;
use crate::error::Result;
use crate::matrix::{Array, Values, with_values};
use crate::op::{
    CrossEntropy, CrossEntropyInput, CrossEntropyOutput, InputForm, Labels, Loss, Metrics,
    RowTargets,
};

impl Labelled for CrossEntropy {
    fn check(&self, input: &CrossEntropyInput<'_>) -> Result<()> {
        self.validate(input)
    }

    /// Probabilities are looked at when their rows are there; those of f64 before they are rounded.
    fn check_before(&self, input: &CrossEntropyInput<'_>) -> Result<()> {
        match input.targets.probs() {
            Some(probs) if probs.dtype() != Dtype::F64 => self.validate_but_targets(input),
            _ => self.validate(input),
        }
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
        let (kept_rows, total_weight) = self.totals(&self.rows(labels.targets, labels.mask));
        let divisor = self.normalizer().unwrap_or(total_weight);
        let options = Options::new(self, labels, classes, divisor);
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
            output.metrics = options.metrics(&results, kept_rows);
            results.into_iter().map(|row| (row.loss, row.lse)).unzip()
        };
        output.loss = reduce(losses, self.reduction(), divisor);
        output.lse = Array::F32(lse);
        if options.has_odd_targets.into_inner() {
            options.of_rows.validate(classes)?;
        }
        Ok(output)
    }
}

struct Options<'a> {
    op: &'a CrossEntropy,
    of_rows: RowTargets<'a>,
    classes: usize,
    chain: Chain,
    /// What distances between the chain's results are multiplied by.
    z_scale: f32,
    dloss: Dloss,
    unit: f32,
    /// With whole vectors of zeros behind them.
    weights: Option<Vec<f32>>,
    /// 1 - e, with label smoothing e.
    keep: f32,
    /// e / classes.
    smooth_class: f32,
    /// The same times the sum of all class weights, and that sum.
    smooth_sum: f32,
    weight_sum: f64,
    /// Whether some probability targets are to be looked at more closely.
    has_odd_targets: AtomicBool,
}

impl PlainRows for Options<'_> {
    const COLUMNS: Columns = Columns::Exps;

    #[inline(always)]
    fn pick(&self, row: usize) -> Pick {
        self.of_rows.class(row).map_or(Pick::Ignored, Pick::Column)
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

    fn counts(&self, row: usize) -> bool {
        self.of_rows.counts(row)
    }

    fn row<S: Simd>(&self, sweep: Sweep<S>, row: usize, work: &mut Work, result: &mut RowResult) {
        let Work { x, out, a, b, .. } = work;
        let label = if let Some(probs) = self.of_rows.targets.probs() {
            let columns = row * self.classes..(row + 1) * self.classes;
            with_values!(probs.values(), q => sweep.widen(&q[columns], a));
            if !sweep.are_plain_probs(&a[..self.classes]) {
                self.has_odd_targets.store(true, Ordering::Relaxed);
            }
            Label::Probs(a)
        } else {
            // A row that counts has a class.
            Label::Class(self.of_rows.class(row).unwrap_or(0))
        };
        let z = self.chain_of(sweep, x, b);
        let row_of = Row { options: self, sweep, span: self.all(), x, z };
        let dloss = self.op.has_gradient().then(|| self.dloss.at(row));
        match label {
            Label::Class(y) => {
                let seen = row_of.seen(y);
                let norm = Norm::of(sweep, seen.stat, self.z_scale);
                *result = self.class_result(norm, &seen, y);
                if let Some(dloss) = dloss {
                    row_of.class_columns(&self.class_columns(sweep, norm, &seen, (y, dloss)), out);
                }
            }
            Label::Probs(q) => {
                let norm = Norm::of(sweep, row_of.stat(), self.z_scale);
                *result = row_of.probs_result(norm, q);
                if let Some(dloss) = dloss {
                    row_of.probs_columns(norm, q, dloss, out);
                }
            }
        }
    }
}

impl<'a> Options<'a> {
    fn new(op: &'a CrossEntropy, labels: Labels<'a>, classes: usize, divisor: f64) -> Self {
        let (e, weight_sum) = (op.label_smoothing(), op.weight_sum(classes));
        let (chain, z_scale) = Chain::of(op);
        let mut weights: Option<Vec<f32>> =
            op.class_weights().map(|weights| weights.iter().map(|&w| w as f32).collect());
        if let Some(weights) = &mut weights {
            weights.resize(classes + MAX_LANES, 0.0);
        }
        Self {
            op,
            of_rows: op.rows(labels.targets, labels.mask),
            classes,
            chain,
            z_scale,
            dloss: Dloss::of(labels.upstream, op.reduction(), divisor, op.unit()),
            unit: op.unit().per_nat() as f32,
            weights,
            keep: (1.0 - e) as f32,
            smooth_class: (e / classes.max(1) as f64) as f32,
            smooth_sum: (e / classes.max(1) as f64 * weight_sum) as f32,
            weight_sum,
            has_odd_targets: AtomicBool::new(false),
        }
    }
}

impl Options<'_> {
    /// Whether a row's statistic and its target's logit are all that a row needs.
    fn is_plain(&self) -> bool {
        let is_logits = self.op.form() == InputForm::Logits && matches!(self.chain, Chain::None);
        let has_class = self.of_rows.targets.probs().is_none();
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

    /// All columns.
    fn all(&self) -> Span {
        Span { first: 0, columns: self.classes, weight: self.weight_sum }
    }

    /// A row's z, in `z` unless it is the input itself.
    fn chain_of<'a, S: Simd>(&self, sweep: Sweep<S>, x: &'a [f32], z: &'a mut [f32]) -> &'a [f32] {
        let (s, chain) = (sweep.s, self.chain);
        if chain.is_identity() {
            return x;
        }
        sweep.fill(
            z,
            #[inline(always)]
            |j| chain.z(s, s.load(&x[j..])),
        );
        z
    }

    /// Accuracy and perplexity, if they were asked for.
    fn metrics(&self, results: &[RowResult], kept_rows: u64) -> Option<Metrics> {
        self.op.has_metrics().then(|| {
            let before = self.op.nll_before;
            let nll = results.iter().fold(before, |sum, row| sum + f64::from(row.nll));
            let correct = results.iter().filter(|row| row.correct).count() as u64;
            Metrics::new(results.iter().map(|row| row.argmax).collect(), correct, nll, kept_rows)
        })
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

    fn counts(&self, row: usize) -> bool {
        self.options.of_rows.counts(row)
    }

    fn row<S: Simd>(&self, sweep: Sweep<S>, row: usize, work: &mut Work, (): &mut ()) {
        let (s, options) = (sweep.s, self.options);
        let Work { out, a, b, .. } = work;
        let columns = row * options.classes..(row + 1) * options.classes;
        with_values!(self.logits, x => sweep.widen(&x[columns], a));
        let z = options.chain_of(sweep, a, b);
        let row_of = Row { options, sweep, span: options.all(), x: a, z };
        let norm = Norm::of(sweep, row_of.stat(), options.z_scale);
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
