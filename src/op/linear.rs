//! Cross-entropy of a linear layer's logits, which are never there as a whole.

use crate::error::{Error, Result};
use crate::matrix::{Array, Matrix, Values};
use crate::op::mask::{mask_option, validate_mask};
use crate::op::{
    BatchTargets, CrossEntropy, Data, InputForm, Kind, Loss, Metrics, Op, Operation, Reduction,
    Results, RowTargets, Targets, Upstream, sealed,
};

/// Cross-entropy of the logits that a linear layer makes, with the gradients of everything that the
/// layer reads: what ends a language model, where the logits would be the largest matrix by far.
///
/// ```text
/// logits  = hidden weight^T + bias            [rows, classes], of which some rows are there at a time
/// loss    = CrossEntropy of the logits, with all its options
/// dhidden = dlogits weight                    [rows, hidden]
/// dweight = dlogits^T hidden                  [classes, hidden]
/// dbias   = sum over rows of dlogits          [classes]
/// ```
///
/// (formula (24) of `docs/NUMERICS.md`). A chunk of rows is multiplied, made its own gradient in place by
/// [`CrossEntropy`], and multiplied on; a row whose target is ignored, or that a mask leaves out, is
/// left out of all of that.
/// Products are accumulated in f32, in an order that depends on the shape alone and, on the CPU, on
/// [`scratch_bytes`](Self::scratch_bytes).
///
/// Targets may be probabilities `[rows, classes]`, with all options of cross-entropy but the gradient with
/// respect to them. They are as large as the logits that are saved: where the batch comes in windows of rows
/// ([`Device::stream_linear`](crate::Device::stream_linear)), each window may bring its own.
///
/// **Accuracy.** That of [`CrossEntropy`] beside what rounding a product of `hidden` terms does to the
/// logits: at most `2^-24 hidden` times the sum of their absolute values.
///
/// **Special values.** As with [`CrossEntropy`] for the logits; what a product makes of infinities and NaN
/// is theirs. A row with a NaN makes `dweight` and `dbias` NaN, unless it is ignored. A bias of -inf leaves
/// a class out.
///
/// ```
/// use surprisal::{CrossEntropy, Device, LinearCrossEntropy, LinearCrossEntropyInput, Matrix};
///
/// let hidden = Matrix::new(&[1.0f32, 0.0, 0.0, 1.0], 2, 2)?;
/// let weight = Matrix::new(&[2.0f32, 0.3, 1.0, 0.2, 0.1, 3.0], 3, 2)?;
/// let op = LinearCrossEntropy::new(CrossEntropy::new()).with_gradient();
/// let output = Device::cpu().run(&op, LinearCrossEntropyInput::new(hidden, weight, &[0i64, 2]))?;
///
/// assert!((output.loss.reduced().unwrap() - 0.268_745).abs() < 1e-6);
/// assert_eq!(output.dweight.unwrap().len(), 6);
/// # Ok::<(), surprisal::Error>(())
/// ```
#[doc(alias = "cut_cross_entropy")]
#[doc(alias = "fused_linear_cross_entropy")]
#[derive(Debug, Clone, PartialEq)]
pub struct LinearCrossEntropy {
    loss: CrossEntropy,
    hidden_gradient: bool,
    weight_gradient: bool,
    bias_gradient: bool,
    scratch_bytes: u64,
}

impl LinearCrossEntropy {
    /// The loss of the logits; no gradients, 256 MiB of scratch.
    pub fn new(loss: CrossEntropy) -> Self {
        Self {
            loss,
            hidden_gradient: false,
            weight_gradient: false,
            bias_gradient: false,
            scratch_bytes: 256 << 20,
        }
    }

    /// Asks for all gradients: with respect to `hidden`, `weight` and, if there is one, the bias.
    #[must_use]
    pub fn with_gradient(self) -> Self {
        self.with_hidden_gradient().with_weight_gradient().with_bias_gradient()
    }

    /// Asks for the gradient with respect to `hidden`.
    #[must_use]
    pub fn with_hidden_gradient(mut self) -> Self {
        self.hidden_gradient = true;
        self
    }

    /// Asks for the gradient with respect to `weight`.
    #[must_use]
    pub fn with_weight_gradient(mut self) -> Self {
        self.weight_gradient = true;
        self
    }

    /// Asks for the gradient with respect to the bias, if there is one.
    #[must_use]
    pub fn with_bias_gradient(mut self) -> Self {
        self.bias_gradient = true;
        self
    }

    /// Bounds the memory that is taken beside inputs and outputs: more of it means more rows at a time,
    /// and so fewer times that `weight` is read. At least a row of logits has to fit.
    ///
    /// Counted are logits and copies in f32, not what a matrix product or a driver keeps for itself.
    #[must_use]
    pub fn with_scratch_bytes(mut self, bytes: u64) -> Self {
        self.scratch_bytes = bytes;
        self
    }

    /// The loss of the logits, and its options.
    pub fn loss(&self) -> &CrossEntropy {
        &self.loss
    }

    /// Whether the gradient with respect to `hidden` is asked for.
    pub fn has_hidden_gradient(&self) -> bool {
        self.hidden_gradient
    }

    /// Whether the gradient with respect to `weight` is asked for.
    pub fn has_weight_gradient(&self) -> bool {
        self.weight_gradient
    }

    /// Whether the gradient with respect to the bias is asked for.
    pub fn has_bias_gradient(&self) -> bool {
        self.bias_gradient
    }

    /// Whether any gradient is asked for.
    pub fn has_gradient(&self) -> bool {
        self.hidden_gradient || self.weight_gradient || self.bias_gradient
    }

    /// The bound of the memory that is taken beside inputs and outputs.
    pub fn scratch_bytes(&self) -> u64 {
        self.scratch_bytes
    }

    /// What is done with a chunk of logits: the loss, and its gradient if one is needed.
    pub(crate) fn of_logits(&self) -> CrossEntropy {
        if self.has_gradient() { self.loss.clone().with_gradient() } else { self.loss.clone() }
    }

    /// The same with losses one by one, of a window whose mean is taken elsewhere.
    pub(crate) fn of_window(&self) -> Self {
        let loss = self.loss.clone().with_reduction(Reduction::None).with_normalizer(None);
        Self { loss, ..self.clone() }
    }

    /// How many rows of `bytes` each fit beside `fixed` bytes.
    pub(crate) fn rows_in_scratch(&self, row: u64, fixed: u64) -> Result<u64> {
        let room = self.scratch_bytes.saturating_sub(fixed);
        if room >= row {
            return Ok(room / row.max(1));
        }
        let reason = format!("{} bytes do not hold the {} needed", self.scratch_bytes, row + fixed);
        Err(Error::InvalidInput { what: "scratch_bytes", reason })
    }

    /// Options that do not go together with logits that are not there, with the classes there are.
    pub(crate) fn validate_options(&self, classes: u64) -> Result<()> {
        let excluded = |what, reason: &str| {
            let reason = reason.to_owned();
            Err(Error::InvalidInput { what, reason })
        };
        self.loss.validate_options(classes)?;
        if self.loss.form() != InputForm::Logits {
            return excluded("form", "a linear layer makes logits");
        }
        if self.loss.has_gradient() {
            return excluded(
                "gradient",
                "of the logits is not kept; ask for dhidden, dweight, dbias",
            );
        }
        if self.loss.has_target_gradient() {
            return excluded("target_gradient", "is not computed of what a linear layer is told");
        }
        Ok(())
    }

    /// Everything that can be said about an input before any of it is computed.
    pub(crate) fn validate(&self, input: &LinearCrossEntropyInput<'_>) -> Result<()> {
        let (rows, classes) = (input.hidden.rows(), input.weight.rows());
        if input.weight.columns() != input.hidden.columns() {
            return Err(Error::ShapeMismatch {
                what: "weight",
                expected: format!(
                    "[classes, {}], as many columns as hidden",
                    input.hidden.columns()
                ),
                found: input.weight.shape(),
            });
        }
        if rows > 0 && classes == 0 {
            let reason = format!("{rows} rows and no classes");
            return Err(Error::InvalidInput { what: "weight", reason });
        }
        if let Some(bias) = input.bias.filter(|bias| bias.len() != classes) {
            return Err(Error::ShapeMismatch {
                what: "bias",
                expected: format!("[{classes}], one for each class"),
                found: format!("[{}]", bias.len()),
            });
        }
        self.validate_options(classes as u64)?;
        self.validate_targets(input)?;
        validate_mask(input.mask, rows, "row of hidden")?;
        self.loss.rows(input.targets, input.mask).validate(classes)?;
        input.upstream.validate(self.loss.reduction(), rows, "row of hidden")
    }

    /// The kind of the targets, and how many they are.
    fn validate_targets(&self, input: &LinearCrossEntropyInput<'_>) -> Result<()> {
        let (rows, classes) = (input.hidden.rows(), input.weight.rows());
        let probs = input.targets.probs();
        self.loss.validate_kind(probs.is_some())?;
        if let Some(probs) = probs {
            if (probs.rows(), probs.columns()) != (rows, classes) {
                let (hidden, weight) = (input.hidden.shape(), input.weight.shape());
                return Err(Error::ShapeMismatch {
                    what: "targets",
                    expected: format!(
                        "[{rows}, {classes}], for hidden {hidden} and the weight {weight}"
                    ),
                    found: probs.shape(),
                });
            }
        } else if input.targets.len() != rows {
            return Err(Error::ShapeMismatch {
                what: "targets",
                expected: format!("[{rows}], one for each row of hidden {}", input.hidden.shape()),
                found: format!("[{}]", input.targets.len()),
            });
        }
        Ok(())
    }

    /// The rows of a batch that comes in parts, of a layer with so many classes.
    pub(crate) fn rows_of<'a>(
        &self,
        of_batch: BatchTargets<'a>,
        classes: usize,
    ) -> Result<RowTargets<'a>> {
        let probs = of_batch.targets.probs();
        self.loss.validate_kind(probs.is_some())?;
        let rows = of_batch.targets.len();
        if let Some(probs) = probs.filter(|_| !of_batch.targets.are_in_windows())
            && probs.columns() != classes
        {
            return Err(Error::ShapeMismatch {
                what: "targets",
                expected: format!("[{rows}, {classes}], a column for each class of the layer"),
                found: probs.shape(),
            });
        }
        validate_mask(of_batch.mask, rows, "row of hidden")?;
        let of_rows = self.loss.rows(of_batch.targets, of_batch.mask);
        of_rows.validate(classes)?;
        Ok(of_rows)
    }
}

/// What [`LinearCrossEntropy`] reads.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct LinearCrossEntropyInput<'a> {
    /// What the layer reads, `[rows, hidden]`.
    pub hidden: Matrix<'a>,
    /// The layer, `[classes, hidden]`.
    pub weight: Matrix<'a>,
    /// `[classes]`, if there is one.
    pub bias: Option<Values<'a>>,
    /// `[rows]` class indices, each in `0..classes` or the ignored value, or `[rows, classes]`
    /// probabilities.
    pub targets: Targets<'a>,
    /// The gradient from above; 1 unless set.
    pub upstream: Upstream<'a>,
    /// Which rows count, `[rows]`; all unless set.
    pub mask: Option<&'a [bool]>,
}

mask_option!(LinearCrossEntropyInput, "rows");

impl<'a> LinearCrossEntropyInput<'a> {
    /// A layer without a bias, what it reads, and the targets.
    pub fn new(hidden: Matrix<'a>, weight: Matrix<'a>, targets: impl Into<Targets<'a>>) -> Self {
        let upstream = Upstream::default();
        Self { hidden, weight, bias: None, targets: targets.into(), upstream, mask: None }
    }

    /// Sets the bias.
    #[must_use]
    pub fn with_bias(mut self, bias: impl Into<Option<Values<'a>>>) -> Self {
        self.bias = bias.into();
        self
    }

    /// Sets the gradient from above.
    #[must_use]
    pub fn with_upstream(mut self, upstream: Upstream<'a>) -> Self {
        self.upstream = upstream;
        self
    }
}

/// What [`LinearCrossEntropy`] returns. Gradients have the dtype of what they are the gradient of, f64 from
/// the reference.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LinearCrossEntropyOutput {
    /// The loss.
    pub loss: Loss,
    /// The log-sum-exp of each row's logits `[rows]`, in nats; 0 where the row is ignored.
    pub lse: Array,
    /// `[rows, hidden]`, if it was asked for.
    pub dhidden: Option<Array>,
    /// `[classes, hidden]`, if it was asked for.
    pub dweight: Option<Array>,
    /// `[classes]`, if it was asked for and there is a bias.
    pub dbias: Option<Array>,
    /// Accuracy and perplexity, if they were asked for.
    pub metrics: Option<Metrics>,
    /// How many rows count.
    pub kept_rows: u64,
    /// The sum of the kept targets' class weights: what a mean divides by, unless it is told.
    pub total_weight: f64,
}

impl sealed::Sealed for LinearCrossEntropy {}
impl Op for LinearCrossEntropy {
    type Input<'a> = LinearCrossEntropyInput<'a>;
    type Output = LinearCrossEntropyOutput;

    fn operation(&self) -> Result<Operation<'_>> {
        Ok(Operation(Kind::LinearCrossEntropy(self)))
    }

    fn data(input: Self::Input<'_>) -> Data<'_> {
        let LinearCrossEntropyInput { hidden, weight, bias, targets, upstream, mask } = input;
        let layer = Some((weight, bias));
        Data { upstream, mask, layer, ..Data::of(hidden).with_targets(targets) }
    }

    fn raise(results: Results) -> LinearCrossEntropyOutput {
        results.into_linear()
    }
}

#[cfg(test)]
mod tests {
    use super::{CrossEntropy, LinearCrossEntropy};

    #[test]
    fn scratch_holds_so_many_rows() {
        let op = LinearCrossEntropy::new(CrossEntropy::new()).with_scratch_bytes(1000);
        assert_eq!(op.rows_in_scratch(300, 0), Ok(3));
        assert_eq!(op.rows_in_scratch(300, 100), Ok(3));
        assert_eq!(op.rows_in_scratch(300, 101), Ok(2));
        assert_eq!(op.rows_in_scratch(1000, 0), Ok(1));
        let error = op.rows_in_scratch(900, 101).expect_err("899 bytes are left");
        assert!(error.to_string().contains("1000 bytes do not hold the 1001 needed"), "{error}");
    }
}
