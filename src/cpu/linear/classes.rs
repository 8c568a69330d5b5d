//! Cross-entropy of a linear layer whose weights come in blocks of classes, twice: what their logits say
//! of each row is gathered first; their gradient is made of it when they come again.

use std::ops::Range;

use super::{LOGITS, f32s, for_each_chunk, sum_columns, write_rows};
use crate::cpu::product::{Into, View, product};
use crate::cpu::simd::InstructionSet;
use crate::cpu::{BlockResults, Blocks, Seen};
use crate::dtype::{Dtype, Element as _};
use crate::error::Result;
use crate::matrix::{Array, Matrix, Values, with_values};
use crate::op::{KeptLabels, LinearCrossEntropy, Metrics, RowTargets, Upstream};

/// Classes whose logits are there at a time, unless those are few bytes: more make no product faster.
const CLASSES: usize = 512;

/// Rows with all that is known of them.
#[derive(Debug)]
pub(crate) struct ClassRows {
    set: InstructionSet,
    /// With losses one by one.
    op: LinearCrossEntropy,
    classes: usize,
    width: usize,
    dtype: Dtype,
    labels: KeptLabels,
    /// Of kept rows, like all that follows.
    hidden: Vec<f32>,
    seen: Vec<Seen>,
    dhidden: Vec<f32>,
    logits: Vec<f32>,
    panel: Vec<f32>,
}

/// The gradients of a block of the layer.
pub(crate) struct BlockGradients {
    pub(crate) dweight: Option<Vec<f32>>,
    pub(crate) dbias: Option<Vec<f32>>,
}

impl ClassRows {
    /// Rows of a layer of `classes`; `op` has losses one by one.
    pub(crate) fn new(
        set: InstructionSet,
        op: LinearCrossEntropy,
        classes: usize,
        hidden: Matrix<'_>,
        of_rows: &RowTargets<'_>,
        upstream: Upstream<'_>,
    ) -> Self {
        let labels = KeptLabels::new(of_rows, upstream);
        let (rows, width) = (labels.kept.rows(), hidden.columns());
        let mut of_kept = Vec::with_capacity(rows.len() * width);
        with_values!(hidden.values(), v => for row in rows {
            of_kept.extend(v[row * width..][..width].iter().map(|x| x.to_f32()));
        });
        let gradients = if op.has_hidden_gradient() { of_kept.len() } else { 0 };
        Self {
            set,
            classes,
            width,
            dtype: hidden.dtype(),
            seen: vec![Seen::NOTHING; rows.len()],
            dhidden: vec![0.0; gradients],
            hidden: of_kept,
            labels,
            op,
            logits: Vec::new(),
            panel: Vec::new(),
        }
    }

    /// The next block in the first pass, from the class `first` on.
    pub(crate) fn see(
        &mut self,
        first: usize,
        weight: Matrix<'_>,
        bias: Option<Values<'_>>,
    ) -> Result<()> {
        let (mut seen, hidden) = (std::mem::take(&mut self.seen), std::mem::take(&mut self.hidden));
        let outcome = self.for_each_part(&hidden, weight, bias, |blocks, part| {
            blocks.see(first + part.classes.start, part.logits, &mut seen);
        });
        (self.seen, self.hidden) = (seen, hidden);
        outcome
    }

    /// What the rows come to, once all blocks were seen: losses, log-sum-exps, metrics.
    pub(crate) fn results(&self) -> (Vec<f32>, Vec<f32>, Option<Metrics>) {
        let BlockResults { losses, lse, metrics } = self.blocks().results(&self.seen);
        (self.labels.kept.spread(losses, 0.0), self.labels.kept.spread(lse, 0.0), metrics)
    }

    /// The next block in the second pass.
    pub(crate) fn gradient(
        &mut self,
        first: usize,
        weight: Matrix<'_>,
        bias: Option<Values<'_>>,
    ) -> Result<BlockGradients> {
        let (width, rows) = (self.width, self.seen.len());
        let zeros = |asked: bool, count| asked.then(|| vec![0.0f32; count]);
        let mut dweight = zeros(self.op.has_weight_gradient(), weight.values().len());
        let mut dbias = zeros(self.op.has_bias_gradient() && bias.is_some(), weight.rows());
        let mut dhidden = std::mem::take(&mut self.dhidden);
        let (hidden, seen) = (std::mem::take(&mut self.hidden), std::mem::take(&mut self.seen));
        let of_rows = View::new(&hidden, rows, width);
        let outcome = self.for_each_part(&hidden, weight, bias, |blocks, part| {
            let Part { classes, weight, logits } = part;
            blocks.columns(first + classes.start, logits, &seen);
            let dlogits = View::new(logits, rows, classes.len());
            if !dhidden.is_empty() {
                product((&mut dhidden, width, 0..width), dlogits, weight, Into::Add);
            }
            if let Some(dweight) = &mut dweight {
                let out = &mut dweight[classes.start * width..classes.end * width];
                product((out, width, 0..width), dlogits.transposed(), of_rows, Into::Replace);
            }
            if let Some(dbias) = &mut dbias {
                sum_columns(&mut dbias[classes.clone()], logits, classes.len());
            }
        });
        (self.dhidden, self.hidden, self.seen) = (dhidden, hidden, seen);
        outcome.map(|()| BlockGradients { dweight, dbias })
    }

    /// The gradient of the rows, if it was asked for.
    pub(crate) fn dhidden(&self) -> Option<Array> {
        let mut dhidden = Array::zeroed(self.dtype, self.labels.kept.all() * self.width);
        write_rows(&mut dhidden, self.labels.kept.rows(), &self.dhidden, self.width);
        self.op.has_hidden_gradient().then_some(dhidden)
    }

    fn blocks(&self) -> Blocks<'_> {
        let KeptLabels { targets, .. } = &self.labels;
        Blocks::new(self.set, self.op.loss(), self.classes, targets, self.labels.upstream())
    }

    /// Calls `f` with some classes of a block and their logits at a time.
    fn for_each_part(
        &mut self,
        hidden: &[f32],
        weight: Matrix<'_>,
        bias: Option<Values<'_>>,
        mut f: impl FnMut(&Blocks<'_>, Part<'_>),
    ) -> Result<()> {
        let (rows, width) = (self.labels.targets.len(), self.width);
        if rows == 0 {
            return Ok(());
        }
        let bias = bias.map(|bias| bias.to_f32());
        let at_a_time = self.part_classes(rows, weight.dtype())?;
        let (mut logits, mut panel) =
            (std::mem::take(&mut self.logits), std::mem::take(&mut self.panel));
        let (blocks, hidden) = (self.blocks(), View::new(hidden, rows, width));
        for first in (0..weight.rows()).step_by(at_a_time) {
            let classes = first..weight.rows().min(first + at_a_time);
            let elements = classes.start * width..classes.end * width;
            let weight = f32s(weight.values(), elements, &mut panel);
            let weight = View::new(weight, classes.len(), width);
            logits.resize(rows * classes.len(), 0.0);
            let into = match &bias {
                Some(bias) => {
                    let bias = &bias[classes.clone()];
                    for_each_chunk(&mut logits, bias.len(), |_, row| row.copy_from_slice(bias));
                    Into::Add
                }
                None => Into::Replace,
            };
            let columns = 0..classes.len();
            product((&mut logits, columns.len(), columns), hidden, weight.transposed(), into);
            f(&blocks, Part { classes, weight, logits: &mut logits });
        }
        drop(blocks);
        (self.logits, self.panel) = (logits, panel);
        Ok(())
    }

    /// Classes of a block whose logits, and weights as f32, fit the scratch.
    fn part_classes(&self, rows: usize, dtype: Dtype) -> Result<usize> {
        let panel = if dtype == Dtype::F32 { 0 } else { self.width };
        let fitting = self.op.rows_in_scratch(4 * (rows + panel) as u64, 0)?;
        let enough = CLASSES.max(LOGITS / (4 * rows));
        Ok(usize::try_from(fitting).unwrap_or(usize::MAX).clamp(1, enough))
    }
}

/// Some classes of a block, their weights, and the logits that they make.
struct Part<'a> {
    classes: Range<usize>,
    weight: View<'a>,
    logits: &'a mut [f32],
}
