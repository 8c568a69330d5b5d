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
    let rows = input.logits.rows();
    let kept_rows = (0..rows).filter(|&row| op.keeps(input.targets.get(row))).count();
    let task = Task {
        op,
        targets: input.targets,
        classes: input.logits.classes(),
        scale: if op.reduction() == Reduction::Mean { kept_rows as f32 } else { 1.0 },
        dloss: Dloss::of(input.upstream),
    };
    let mut stats = vec![(0.0, 0.0); rows];
    let dlogits = with_values!(input.logits.values(), x => task.run(x, &mut stats));

    let (loss, lse): (Vec<f32>, Vec<f32>) = stats.into_iter().unzip();
    // In f64 and in the rows' order: the same bits on any number of threads.
    let sum = loss.iter().copied().map(f64::from).sum::<f64>();
    let loss = match op.reduction() {
        Reduction::None => Loss::Rows(Array::F32(loss)),
        Reduction::Sum => Loss::Reduced(f64::from(sum as f32)),
        Reduction::Mean => Loss::Reduced(f64::from((sum / kept_rows as f64) as f32)),
    };
    Ok(CrossEntropyOutput::new(loss, Array::F32(lse), dlogits, kept_rows as u64))
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
    scale: f32,
    dloss: Dloss,
}

impl Task<'_> {
    fn run<T: Element>(&self, logits: &[T], stats: &mut [Stats]) -> Option<Array>
    where
        Vec<T>: Into<Array>,
    {
        let row_of = |row: usize| &logits[row * self.classes..(row + 1) * self.classes];
        if !self.op.has_gradient() {
            for_each_row(self.classes, stats, |row, out| {
                *out = self.row(row, row_of(row)).map_or((0.0, 0.0), |(_, _, out)| out);
            });
            return None;
        }
        let mut dlogits = vec![T::from_f32(0.0); logits.len()];
        for_each_row_with_columns(self.classes, &mut dlogits, stats, |row, dlogits, out| {
            let x = row_of(row);
            if let Some((stat, y, result)) = self.row(row, x) {
                *out = result;
                let dloss = self.dloss.at(row) / self.scale;
                columns(stat, x, y, dloss, dlogits);
            }
        });
        Some(dlogits.into())
    }

    /// The statistic, target and results of a kept row.
    fn row<T: Element>(&self, row: usize, x: &[T]) -> Option<(RowStat, usize, Stats)> {
        let target = self.targets.get(row);
        if !self.op.keeps(target) {
            return None;
        }
        // A kept target is a class: the input was validated.
        let y = usize::try_from(target).ok()?;
        let stat = RowStat::of(x);
        Some((stat, y, (stat.nll(x[y].to_f32()), stat.lse())))
    }
}

/// `dloss * (p - onehot)`, formula (8).
fn columns<T: Element>(stat: RowStat, x: &[T], y: usize, dloss: f32, dlogits: &mut [T]) {
    let scale = dloss / stat.sum();
    for (d, x) in dlogits.iter_mut().zip(x) {
        *d = T::from_f32((x.to_f32() - stat.max()).exp() * scale);
    }
    dlogits[y] = T::from_f32(dloss * stat.p_minus_1(x[y].to_f32()));
}
