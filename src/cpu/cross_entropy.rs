//! Cross-entropy with index targets: one statistic a row, then the column formula.

use crate::cpu::{RowStat, for_each_row, for_each_row_with_columns};
use crate::dtype::Element;
use crate::error::Result;
use crate::matrix::{Array, with_values};
use crate::op::{
    CrossEntropy, CrossEntropyInput, CrossEntropyOutput, Loss, Reduction, Targets, Upstream,
};

/// A row's results: (loss, lse).
type Stats = (f32, f32);

pub(crate) fn cross_entropy(
    op: &CrossEntropy,
    input: &CrossEntropyInput<'_>,
) -> Result<CrossEntropyOutput> {
    op.validate(input)?;
    let (rows, classes) = (input.logits.rows(), input.logits.classes());
    let totals = op.totals(&input.targets);
    let divisor = op.normalizer().unwrap_or(totals.1);
    let is_mean = op.reduction() == Reduction::Mean;
    let task = Task {
        op,
        targets: input.targets,
        classes,
        // 0 divides to NaN whatever is above it, not to infinity.
        scale: match is_mean {
            true if divisor == 0.0 => f32::NAN,
            true => divisor as f32,
            false => 1.0,
        },
        dloss: Dloss::of(input.upstream),
        weights: op.class_weights().map(|weights| weights.iter().map(|&w| w as f32).collect()),
        weight_sum: op.weight_sum(classes) as f32,
        smooth_class: (op.label_smoothing() / classes.max(1) as f64) as f32,
    };
    let mut stats = vec![(0.0, 0.0); rows];
    let dlogits = with_values!(input.logits.values(), x => task.run(x, &mut stats));

    let (loss, lse): (Vec<f32>, Vec<f32>) = stats.into_iter().unzip();
    // In f64 and in the rows' order: the same bits on any number of threads.
    let sum = loss.iter().copied().map(f64::from).sum::<f64>();
    let loss = match op.reduction() {
        Reduction::None => Loss::Rows(Array::F32(loss)),
        Reduction::Sum => Loss::Reduced(f64::from(sum as f32)),
        Reduction::Mean if divisor == 0.0 => Loss::Reduced(f64::NAN),
        Reduction::Mean => Loss::Reduced(f64::from((sum / divisor) as f32)),
    };
    Ok(CrossEntropyOutput::new(loss, Array::F32(lse), dlogits, totals))
}

enum Dloss {
    Scalar(f32),
    Rows(Vec<f32>),
}

impl Dloss {
    fn of(upstream: Upstream<'_>) -> Self {
        match upstream {
            Upstream::Scalar(dloss) => Self::Scalar(dloss as f32),
            Upstream::Rows(dloss) => Self::Rows(dloss.to_f32()),
        }
    }

    fn at(&self, row: usize) -> f32 {
        match self {
            Self::Scalar(dloss) => *dloss,
            Self::Rows(dloss) => dloss[row],
        }
    }
}

struct Task<'a> {
    op: &'a CrossEntropy,
    targets: Targets<'a>,
    classes: usize,
    /// What a mean divides by.
    scale: f32,
    dloss: Dloss,
    weights: Option<Vec<f32>>,
    weight_sum: f32,
    /// e / classes, with label smoothing e.
    smooth_class: f32,
}

/// What a kept row comes to.
struct Row {
    stat: RowStat,
    target: usize,
    /// `(1 - e) w_y`.
    own: f32,
    result: Stats,
}

impl Task<'_> {
    fn run<T: Element>(&self, logits: &[T], stats: &mut [Stats]) -> Option<Array>
    where
        Vec<T>: Into<Array>,
    {
        let row_of = |row: usize| &logits[row * self.classes..(row + 1) * self.classes];
        if !self.op.has_gradient() {
            for_each_row(self.classes, stats, |row, out| {
                *out = self.kept_row(row, row_of(row)).map_or((0.0, 0.0), |row| row.result);
            });
            return None;
        }
        let mut dlogits = vec![T::from_f32(0.0); logits.len()];
        for_each_row_with_columns(self.classes, &mut dlogits, stats, |i, dlogits, out| {
            if let Some(row) = self.kept_row(i, row_of(i)) {
                *out = row.result;
                self.columns(&row, row_of(i), self.dloss.at(i) / self.scale, dlogits);
            }
        });
        Some(dlogits.into())
    }

    fn weight(&self, class: usize) -> f32 {
        self.weights.as_ref().map_or(1.0, |weights| weights[class])
    }

    /// A logit after scale and softcap, formula (11).
    fn chain(&self, x: f32) -> f32 {
        let z = x * self.op.logit_scale() as f32;
        self.op.softcap().map_or(z, |cap| cap as f32 * (z / cap as f32).tanh())
    }

    /// The derivative of the chain: 1 - tanh^2 = 4 e / (1 + e)^2 keeps its digits near tanh = 1.
    fn chain_slope(&self, x: f32) -> f32 {
        let scale = self.op.logit_scale() as f32;
        self.op.softcap().map_or(scale, |cap| {
            let e = (-2.0 * (x * scale / cap as f32).abs()).exp();
            scale * (4.0 * e / ((1.0 + e) * (1.0 + e)))
        })
    }

    fn kept_row<T: Element>(&self, row: usize, x: &[T]) -> Option<Row> {
        let target = self.targets.get(row);
        // A kept target is a class: the input was validated.
        let target = usize::try_from(target).ok().filter(|_| self.op.keeps(target))?;
        let y = x[target].to_f32();
        let (stat, y, smoothing) = if self.op.has_chain() {
            let z: Vec<f32> = x.iter().map(|x| self.chain(x.to_f32())).collect();
            let stat = RowStat::of(&z);
            (stat, self.chain(y), self.smoothing(stat, &z))
        } else {
            let stat = RowStat::of(x);
            (stat, y, self.smoothing(stat, x))
        };
        let own = (1.0 - self.op.label_smoothing() as f32) * self.weight(target);
        let lse = stat.lse();
        let z_loss = times(self.op.z_loss() as f32, lse * lse);
        let loss = times(own, stat.nll(y)) + smoothing + z_loss;
        let loss = if stat.is_defined() { loss } else { f32::NAN };
        Some(Row { stat, target, own, result: (loss, lse) })
    }

    /// `(e / C) sum_j w_j nll_j`, formula (12).
    fn smoothing<T: Element>(&self, stat: RowStat, z: &[T]) -> f32 {
        if self.smooth_class == 0.0 {
            return 0.0;
        }
        let terms = z
            .iter()
            .enumerate()
            .map(|(j, z)| f64::from(times(self.weight(j), stat.max() - z.to_f32())));
        let spread = terms.sum::<f64>() as f32;
        self.smooth_class * (spread + self.weight_sum * stat.rest().ln_1p())
    }

    /// dloss (A p - B onehot - k w) and the chain's slope: formulas (8) and (13), with A = B + more.
    fn columns<T: Element>(&self, row: &Row, x: &[T], dloss: f32, dlogits: &mut [T]) {
        let (stat, y) = (row.stat, row.target);
        let z_slope = times(2.0 * self.op.z_loss() as f32, stat.lse());
        let more = self.smooth_class * self.weight_sum + z_slope;
        let scale = dloss * (row.own + more) / stat.sum();
        let shift = dloss * self.smooth_class;
        let is_plain = !self.op.has_chain() && shift == 0.0;
        for (j, (d, x)) in dlogits.iter_mut().zip(x).enumerate() {
            let x = x.to_f32();
            *d = T::from_f32(if is_plain {
                (x - stat.max()).exp() * scale
            } else {
                let dz = (self.chain(x) - stat.max()).exp() * scale - shift * self.weight(j);
                dz * self.chain_slope(x)
            });
        }
        let x = x[y].to_f32();
        let z = self.chain(x);
        let p = (z - stat.max()).exp() / stat.sum();
        let own = row.own * stat.p_minus_1(z) + more * p - self.smooth_class * self.weight(y);
        dlogits[y] = T::from_f32(dloss * own * self.chain_slope(x));
    }
}

/// A coefficient of 0 contributes 0, though its factor be infinite.
fn times(coefficient: f32, x: f32) -> f32 {
    if coefficient == 0.0 { 0.0 } else { coefficient * x }
}
