//! Cross-entropy of a linear layer's logits.

use crate::error::Result;
use crate::matrix::{Array, Matrix};
use crate::op::{
    CrossEntropyInput, LinearCrossEntropy, LinearCrossEntropyInput, LinearCrossEntropyOutput,
};
use crate::reference::cross_entropy;

/// Cross-entropy of a linear layer's logits with the layer's gradients, formula (24): the logits as they
/// are, [`cross_entropy`] of them, and the chain rule.
pub(crate) fn linear_cross_entropy(
    op: &LinearCrossEntropy,
    input: &LinearCrossEntropyInput<'_>,
) -> Result<LinearCrossEntropyOutput> {
    op.validate(input)?;
    let (rows, width, classes) = (input.hidden.rows(), input.hidden.columns(), input.weight.rows());
    let hidden = input.hidden.values().to_f64();
    let weight = input.weight.values().to_f64();
    let bias = input.bias.map_or(vec![0.0; classes], |bias| bias.to_f64());
    let of_rows = op.loss().rows(input.targets, input.mask);
    let is_kept = |i: &usize| of_rows.counts(*i);

    let mut logits = vec![0.0; rows * classes];
    for i in (0..rows).filter(is_kept) {
        for j in 0..classes {
            let products = (0..width).map(|h| hidden[i * width + h] * weight[j * width + h]);
            logits[i * classes + j] = products.sum::<f64>() + bias[j];
        }
    }

    let logits = Matrix::new(&logits, rows, classes)?;
    let mut of_logits = CrossEntropyInput::new(logits, input.targets).with_upstream(input.upstream);
    of_logits.mask = input.mask;
    let output = cross_entropy(&op.of_logits(), &of_logits)?;
    let dlogits = output.dlogits.map_or(Vec::new(), |dlogits| dlogits.to_f64());

    let mut dhidden = vec![0.0; hidden.len()];
    let mut dweight = vec![0.0; weight.len()];
    let mut dbias = vec![0.0; classes];
    // A row that is ignored is not read: 0 * NaN would be NaN.
    let kept = (0..rows).filter(|i| op.has_gradient() && is_kept(i));
    for (i, j) in kept.flat_map(|i| (0..classes).map(move |j| (i, j))) {
        let dlogit = dlogits[i * classes + j];
        dbias[j] += dlogit;
        for h in 0..width {
            dhidden[i * width + h] += dlogit * weight[j * width + h];
            dweight[j * width + h] += dlogit * hidden[i * width + h];
        }
    }

    Ok(LinearCrossEntropyOutput {
        loss: output.loss,
        lse: output.lse,
        dhidden: op.has_hidden_gradient().then_some(Array::F64(dhidden)),
        dweight: op.has_weight_gradient().then_some(Array::F64(dweight)),
        dbias: (op.has_bias_gradient() && input.bias.is_some()).then_some(Array::F64(dbias)),
        metrics: output.metrics,
        kept_rows: output.kept_rows,
        total_weight: output.total_weight,
    })
}
