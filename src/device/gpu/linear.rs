//! Cross-entropy of a linear layer on a GPU.

use super::OwnedGpu;
use crate::device::timings::Timings;
use crate::error::{Error, Result};
use crate::matrix::Matrix;
use crate::op::{
    KeptRows, LinearCrossEntropy, LinearCrossEntropyInput, LinearCrossEntropyOutput, Loss,
    Upstream, upstream_of_rows,
};

impl OwnedGpu {
    /// Ignored rows stay behind: what comes to the device is kept.
    pub(crate) async fn linear_cross_entropy(
        &self,
        op: &LinearCrossEntropy,
        input: &LinearCrossEntropyInput<'_>,
    ) -> Result<(LinearCrossEntropyOutput, Timings)> {
        op.validate(input)?;
        let kept = KeptRows::new(op.loss(), &input.targets);
        if kept.are_all() {
            return self.linear_kept(op, input).await;
        }
        let (hidden, width) = (kept.gather(&input.hidden), input.hidden.classes());
        let targets: Vec<i64> = kept.rows().iter().map(|&row| input.targets.index(row)).collect();
        let dloss = upstream_of_rows(input.upstream, kept.rows());
        let of_kept = LinearCrossEntropyInput {
            hidden: Matrix::new(hidden.values(), kept.len(), width)?,
            targets: (&targets).into(),
            upstream: dloss.as_ref().map_or(input.upstream, |dloss| Upstream::Each(dloss.into())),
            ..*input
        };
        let (mut output, timings) = self.linear_kept(op, &of_kept).await?;
        output.lse = kept.spread_array(output.lse, 1);
        output.dhidden = output.dhidden.map(|dhidden| kept.spread_array(dhidden, width));
        if let Loss::Each(losses) = output.loss {
            output.loss = Loss::Each(kept.spread_array(losses, 1));
        }
        if let Some(metrics) = &mut output.metrics {
            metrics.argmax = kept.spread(std::mem::take(&mut metrics.argmax), -1);
        }
        Ok((output, timings))
    }

    /// A batch without ignored rows.
    async fn linear_kept(
        &self,
        _op: &LinearCrossEntropy,
        _input: &LinearCrossEntropyInput<'_>,
    ) -> Result<(LinearCrossEntropyOutput, Timings)> {
        Err(Error::DeviceTooSmall {
            device: self.info().name,
            reason: "no products yet".to_owned(),
        })
    }
}
