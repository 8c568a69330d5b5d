//! Cross-entropy: one statistic a row, then the column formula.

use crate::cpu::columns::{Sweep, argmax, first};
use crate::cpu::lanes::{Io, Lanes, with_pair};
use crate::cpu::math::{exp, log, tanh};
use crate::cpu::plain::{
    Columns, Finished, Pick, PlainRows, RowResults, Swept, for_each_plain_row,
};
use crate::cpu::rows::{Rows, Work, for_each_row};
use crate::cpu::simd::{InstructionSet, MAX_LANES, Simd};
use crate::cpu::{Dloss, RowStat, reduce, select_times, times};
use crate::error::Result;
use crate::matrix::{Array, MatrixMut, Values, with_values, with_values_mut};
use crate::op::{
    CrossEntropy, CrossEntropyInput, CrossEntropyOutput, InputForm, Labels, Loss, Metrics, Targets,
};

pub(crate) fn cross_entropy(
    set: InstructionSet,
    op: &CrossEntropy,
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
pub(crate) fn cross_entropy_into(
    set: InstructionSet,
    op: &CrossEntropy,
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
pub(crate) fn cross_entropy_in_place(
    set: InstructionSet,
    op: &CrossEntropy,
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
    op: &CrossEntropy,
    (rows, classes): (usize, usize),
    labels: Labels<'_>,
    io: Io<'_, T>,
) -> CrossEntropyOutput {
    let (kept_rows, total_weight) = op.totals(&labels.targets);
    let divisor = op.normalizer().unwrap_or(total_weight);
    let e = op.label_smoothing();
    let mut weights: Option<Vec<f32>> =
        op.class_weights().map(|weights| weights.iter().map(|&w| w as f32).collect());
    if let Some(weights) = &mut weights {
        weights.resize(classes.next_multiple_of(MAX_LANES), 0.0);
    }
    let options = Options {
        op,
        targets: labels.targets,
        classes,
        chain: Chain::of(op),
        dloss: Dloss::of(labels.upstream, op.reduction(), divisor, op.unit()),
        unit: op.unit().per_nat() as f32,
        weights,
        keep: (1.0 - e) as f32,
        smooth_class: (e / classes.max(1) as f64) as f32,
        smooth_sum: (e / classes.max(1) as f64 * op.weight_sum(classes)) as f32,
    };
    // The targets' gradient is the rarer wish: a pass of its own over the rows.
    let dtargets = match labels.targets.probs() {
        Some(probs) if op.has_target_gradient() => {
            let logits = T::values(io.input());
            Some(with_values!(probs.values(), q => options.target_gradient(set, q, logits, rows)))
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
        output.metrics = op.has_metrics().then(|| {
            let nll = results.iter().fold(op.nll_before, |sum, row| sum + f64::from(row.nll));
            let correct = results.iter().filter(|row| row.correct).count() as u64;
            Metrics::new(results.iter().map(|row| row.argmax).collect(), correct, nll, kept_rows)
        });
        results.into_iter().map(|row| (row.loss, row.lse)).unzip()
    };
    output.loss = reduce(losses, op.reduction(), divisor);
    output.lse = Array::F32(lse);
    output
}

/// What happens to an element of the input before the softmax, formulas (11) and (17).
#[derive(Clone, Copy)]
enum Chain {
    None,
    Scale(f32),
    Softcap {
        scale: f32,
        cap: f32,
    },
    /// The logarithm, of no less than this.
    Log(f32),
}

impl Chain {
    fn of(op: &CrossEntropy) -> Self {
        let scale = op.logit_scale() as f32;
        match (op.form(), op.softcap()) {
            (InputForm::Probs, _) => Self::Log(op.clamp() as f32),
            (InputForm::Logits, Some(cap)) => Self::Softcap { scale, cap: cap as f32 },
            (InputForm::Logits, None) if op.has_chain() => Self::Scale(scale),
            (InputForm::Logits, None) | (InputForm::LogProbs, _) => Self::None,
        }
    }

    #[inline(always)]
    fn z<S: Simd>(self, s: S, x: S::F) -> S::F {
        match self {
            Self::None => x,
            Self::Scale(scale) => s.mul(x, s.splat(scale)),
            Self::Softcap { scale, cap } => {
                let z = s.mul(x, s.splat(scale));
                s.mul(s.splat(cap), tanh(s, s.div(z, s.splat(cap))))
            }
            Self::Log(clamp) => log(s, s.max(x, s.splat(clamp))),
        }
    }

    /// dz / dx. 1 - tanh^2 = 4 e / (1 + e)^2 keeps its digits near tanh = 1.
    #[inline(always)]
    fn slope<S: Simd>(self, s: S, x: S::F) -> S::F {
        match self {
            Self::None => s.splat(1.0),
            Self::Scale(scale) => s.splat(scale),
            Self::Softcap { scale, cap } => {
                let z = s.div(s.mul(x, s.splat(scale)), s.splat(cap));
                let e = exp(s, s.mul(s.splat(-2.0), s.abs(z)));
                let sum = s.add(s.splat(1.0), e);
                let slope = s.div(s.mul(s.splat(4.0), e), s.mul(sum, sum));
                s.mul(s.splat(scale), slope)
            }
            Self::Log(clamp) => {
                let is_low = s.lt(x, s.splat(clamp));
                s.select(is_low, s.splat(0.0), s.div(s.splat(1.0), x))
            }
        }
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

/// What a row comes to.
#[derive(Clone)]
struct RowResult {
    loss: f32,
    lse: f32,
    nll: f32,
    argmax: i64,
    correct: bool,
}

impl RowResult {
    const IGNORED: Self = Self { loss: 0.0, lse: 0.0, nll: 0.0, argmax: -1, correct: false };
}

/// The statistic of a row and `log1p(rest)`; none of a row that is normalised already.
#[derive(Clone, Copy)]
struct Norm(Option<(RowStat, f32)>);

impl Norm {
    /// Formulas (5) and (17).
    #[inline(always)]
    fn nll<S: Simd>(self, s: S, z: S::F) -> S::F {
        match self.0 {
            Some((stat, log_sum)) => s.add(s.sub(s.splat(stat.max()), z), s.splat(log_sum)),
            None => s.neg(z),
        }
    }

    fn is_defined(self) -> bool {
        self.0.is_none_or(|(stat, _)| stat.is_defined())
    }

    fn lse(self) -> f32 {
        self.0.map_or(0.0, |(stat, _)| stat.lse())
    }

    /// p and p - 1 of a column; of a normalised row, whose gradient is the shares alone, 0 and -1.
    #[inline(always)]
    fn p<S: Simd>(self, s: S, z: S::F) -> (S::F, S::F) {
        let Some((stat, _)) = self.0 else { return (s.splat(0.0), s.splat(-1.0)) };
        let (one, max) = (s.splat(1.0), s.splat(stat.max()));
        let p = s.mul(exp(s, s.sub(z, max)), s.splat(1.0 / stat.sum()));
        // Where z is the maximum the 1 cancels before anything is rounded.
        let top = s.splat(-stat.rest() / stat.sum());
        (p, s.select(s.eq(z, max), top, s.sub(p, one)))
    }
}

/// A row's target.
#[derive(Clone, Copy)]
enum Label<'a> {
    Class(usize),
    Probs(&'a [f32]),
}

/// A kept row of a batch with options.
#[derive(Clone, Copy)]
struct Row<'a, S> {
    options: &'a Options<'a>,
    sweep: Sweep<S>,
    label: Label<'a>,
    x: &'a [f32],
    z: &'a [f32],
    norm: Norm,
}

impl PlainRows for Options<'_> {
    const COLUMNS: Columns = Columns::Exps;

    #[inline(always)]
    fn pick(&self, row: usize) -> Pick {
        self.op.kept_class(&self.targets, row).map_or(Pick::Ignored, Pick::Column)
    }

    /// Formulas (7) and (8).
    #[inline(always)]
    fn finish(&self, swept: &Swept) -> Finished {
        let own = if let Pick::Column(y) = swept.pick { self.weight_of(y) } else { 0.0 };
        let (z_loss, lse) = (self.op.z_loss() as f32, swept.lse());
        let loss = self.unit * (times(own, swept.nll()) + times(z_loss, lse * lse));
        // A class of weight 0 does not hide that the row has no softmax.
        let loss = if swept.over_sum.is_nan() { f32::NAN } else { loss };
        let dloss = self.dloss.at(swept.row);
        let more = times(2.0 * z_loss, lse);
        Finished {
            loss,
            lse,
            scale: dloss * (own + more) * swept.over_sum,
            own: dloss * (times(more, swept.p()) - own * swept.miss()),
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

impl<S: Simd> Row<'_, S> {
    #[inline(always)]
    fn nll(&self, j: usize) -> S::F {
        let s = self.sweep.s;
        self.norm.nll(s, s.load(&self.z[j..]))
    }

    fn nll_of(&self, class: usize) -> f32 {
        match self.norm.0 {
            Some((stat, log_sum)) => (stat.max() - self.z[class]) + log_sum,
            None => -self.z[class],
        }
    }

    /// The part of a class in a row's loss with probability targets: `w_j ((1 - e) q_j + e / C)`.
    #[inline(always)]
    fn part(&self, q: &[f32], j: usize) -> S::F {
        let (s, options) = (self.sweep.s, self.options);
        let share = s.fma(s.splat(options.keep), s.load(&q[j..]), s.splat(options.smooth_class));
        s.mul(options.weight(s, j), share)
    }

    /// What the labels of a row with probability targets come to; NaN if the row has no loss for
    /// them: every column is read, and a +inf among log-probabilities is the whole row's.
    fn total(&self, q: &[f32]) -> f32 {
        let classes = self.options.classes;
        let total = self.sweep.sum(
            classes,
            #[inline(always)]
            |j| self.part(q, j),
        ) as f32;
        let is_read = self.norm.0.is_some() || !self.z[..classes].contains(&f32::INFINITY);
        if total.is_finite() && is_read { total } else { f32::NAN }
    }

    /// Formulas (7), (12), (15) and (17).
    fn result(&self) -> RowResult {
        let Self { options, sweep, norm, .. } = *self;
        let (s, op, classes) = (sweep.s, options.op, options.classes);
        let cross = match self.label {
            Label::Class(y) => {
                times(options.keep * options.weight_of(y), self.nll_of(y)) + self.smoothing()
            }
            Label::Probs(q) if self.total(q).is_finite() => sweep.sum(
                classes,
                #[inline(always)]
                |j| select_times(s, self.part(q, j), self.nll(j)),
            ) as f32,
            Label::Probs(_) => f32::NAN,
        };
        let lse = norm.lse();
        let loss = options.unit * (cross + times(op.z_loss() as f32, lse * lse));
        let loss = if norm.is_defined() { loss } else { f32::NAN };
        if !op.has_metrics() {
            return RowResult { loss, lse, ..RowResult::IGNORED };
        }
        let best = self.best();
        let (nll, correct) = match self.label {
            Label::Class(y) => (self.nll_of(y), best == y),
            Label::Probs(q) => {
                let nll = sweep.sum(
                    classes,
                    #[inline(always)]
                    |j| select_times(s, s.load(&q[j..]), self.nll(j)),
                );
                (nll as f32, best == argmax(s, &q[..classes]))
            }
        };
        RowResult { loss, lse, nll, argmax: Metrics::column(best), correct }
    }

    /// The best column, ranked before softcap and clamp make elements equal.
    fn best(&self) -> usize {
        let (s, x) = (self.sweep.s, &self.x[..self.options.classes]);
        match self.options.op.logit_scale() {
            scale if scale > 0.0 => argmax(s, x),
            scale if scale < 0.0 => argmax(s, &x.iter().map(|x| -x).collect::<Vec<_>>()),
            _ => argmax(s, &x.iter().map(|x| x * 0.0).collect::<Vec<_>>()),
        }
    }

    /// `(e / C) sum_j w_j nll_j`, formula (12).
    fn smoothing(&self) -> f32 {
        let Self { options, sweep, z, .. } = *self;
        let (Some((stat, log_sum)), true) = (self.norm.0, options.smooth_class != 0.0) else {
            return 0.0;
        };
        let s = sweep.s;
        let spread = sweep.sum(
            options.classes,
            #[inline(always)]
            |j| {
                let distance = s.sub(s.splat(stat.max()), s.load(&z[j..]));
                select_times(s, options.weight(s, j), distance)
            },
        );
        options.smooth_class * spread as f32 + options.smooth_sum * log_sum
    }

    /// Twice `z_loss` times the log-sum-exp.
    fn z_slope(&self) -> f32 {
        let z_loss = 2.0 * self.options.op.z_loss() as f32;
        self.norm.0.map_or(0.0, |(stat, _)| times(z_loss, stat.lse()))
    }

    /// dloss (A p - a) and the chain's slope: formula (16).
    fn probs_columns(&self, q: &[f32], dloss: f32, out: &mut [f32]) {
        let Self { options, sweep, x, z, norm, .. } = *self;
        let s = sweep.s;
        let total = self.total(q);
        // A NaN or an infinity among the probabilities is the whole row's.
        let dloss = if total.is_finite() { dloss } else { f32::NAN };
        let z_slope = self.z_slope();
        sweep.fill(
            out,
            #[inline(always)]
            |j| {
                let part = self.part(q, j);
                let (p, p_minus_1) = norm.p(s, s.load(&z[j..]));
                // A p - a, with nothing cancelled where a is all of A.
                let others = s.mul(s.sub(s.splat(total), part), p);
                let dz = s.add(s.fma(part, p_minus_1, others), s.mul(s.splat(z_slope), p));
                let slope = options.chain.slope(s, s.load(&x[j..]));
                s.mul(s.splat(dloss), select_times(s, dz, slope))
            },
        );
    }

    /// dloss (A p - B onehot - k w) and the chain's slope: formulas (8) and (13).
    fn class_columns(&self, y: usize, dloss: f32, out: &mut [f32]) {
        let Self { options, sweep, x, z, norm, .. } = *self;
        let (s, chain) = (sweep.s, options.chain);
        let own = options.keep * options.weight_of(y);
        let (slope_y, p, p_minus_1) = s.enable(
            #[inline(always)]
            || {
                let (p, p_minus_1) = norm.p(s, s.splat(z[y]));
                (first(s, chain.slope(s, s.splat(x[y]))), first(s, p), first(s, p_minus_1))
            },
        );
        let Some((stat, _)) = norm.0 else {
            out.fill(if dloss.is_nan() { dloss } else { 0.0 });
            out[y] = dloss * times(-own, slope_y);
            return;
        };
        let more = options.smooth_sum + self.z_slope();
        let scale = dloss * (own + more) / stat.sum();
        let shift = dloss * options.smooth_class;
        sweep.fill(
            out,
            #[inline(always)]
            |j| {
                let e = exp(s, s.sub(s.load(&z[j..]), s.splat(stat.max())));
                let dz =
                    s.sub(s.mul(e, s.splat(scale)), s.mul(s.splat(shift), options.weight(s, j)));
                s.mul(dz, chain.slope(s, s.load(&x[j..])))
            },
        );
        let dz = own * p_minus_1 + more * p - options.smooth_class * options.weight_of(y);
        out[y] = dloss * dz * slope_y;
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
